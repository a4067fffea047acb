"""A judge that learns is tested on nothing that it has seen."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from labelled_replies import replies

from alignlab.data.schema import Prompt, Verdict
from alignlab.errors import DataError
from alignlab.judges.check.agreement import agreement
from alignlab.judges.check.folds import held_out, parts, scheme
from alignlab.judges.labels import Labelled


def test_neither_prompt_nor_model_of_a_tested_reply_is_learned_from() -> None:
    rows = replies(40)
    tested = []
    for part in parts(rows, rows, 4):
        prompts, models = {rows[at].prompt.id for at in part.tested}, {rows[at].model for at in part.tested}
        assert len(models) == 1
        assert not prompts & {row.prompt.id for row in part.learned}
        assert not models & {row.model for row in part.learned}
        assert part.learned
        tested += part.tested
    assert sorted(tested) == list(range(len(rows)))
    assert scheme(rows, 4) == "held out: one of 3 models and a fold of prompts in 4"


def test_replies_of_one_model_are_held_out_by_prompt_alone() -> None:
    rows = replies(40, models=("",))
    for part in parts(rows, rows, 4):
        assert len(part.learned) + len(part.tested) == 40
    assert scheme(rows, 4) == "held out: a fold of prompts in 4"


def test_models_of_one_family_are_held_out_together() -> None:
    families = {"one": "pair", "two": "pair", "three": ""}
    rows = [row._replace(family=families[row.model]) for row in replies(40)]
    seen = set()
    for part in parts(rows, rows, 4):
        units = {rows[at].unit for at in part.tested}
        assert len(units) == 1
        assert not units & {row.unit for row in part.learned}
        seen.add(tuple(sorted({rows[at].model for at in part.tested})))
    assert seen == {("one", "two"), ("three",)}
    assert scheme(rows, 4) == "held out: one of 2 families of 3 models and a fold of prompts in 4"
    alone = [row._replace(family="pair") for row in rows]
    assert scheme(alone, 4) == "held out: a fold of prompts in 4"


def test_labels_of_other_replies_serve_too() -> None:
    rows, others = replies(20, models=("new",)), replies(40, models=("one", "two"))
    for part in parts(others, rows):
        assert {row.model for row in part.learned} == {"one", "two"}
        assert not {rows[at].prompt.id for at in part.tested} & {row.prompt.id for row in part.learned}


def remembers(rows: Sequence[Labelled]):
    """Knows every reply by heart, and guesses by a coin what it has not seen."""
    known, rng = {row.text: row.verdict for row in rows}, random.Random(len(rows))

    def judge(prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Verdict | None]:
        return [known.get(text) or rng.choice([*Verdict]) for text in texts]

    return judge


def test_a_judge_that_only_remembers_scores_as_chance() -> None:
    rows = [row._replace(text=f"{row.model} {row.prompt.id}") for row in replies(200)]
    found = agreement(rows, held_out(rows, rows, remembers))
    assert abs(found["kappa"]) < 0.12  # standard error 0.03
    assert agreement(rows, remembers(rows)([row.prompt for row in rows], [row.text for row in rows]))["kappa"] == 1


def test_too_few_labels() -> None:
    rows = replies(1, models=("only",))
    with pytest.raises(DataError, match="leave nothing to learn from"):
        held_out(rows, rows, remembers)
