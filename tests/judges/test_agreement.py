"""Agreement with people: closed forms, chance, and the figures that XSTest's authors report."""

from __future__ import annotations

import random

import pytest
from labelled_replies import replies

from alignlab.data.schema import Prompt, Verdict
from alignlab.judges import labels
from alignlab.judges.check.agreement import accuracy, agreement, ceiling, kappa
from alignlab.judges.labels import Labelled

R, P, C = Verdict.REFUSED, Verdict.PARTIAL, Verdict.COMPLIED
PAIRS = [(R, R)] * 20 + [(R, C)] * 5 + [(C, R)] * 10 + [(C, C)] * 15
"""The example of a 2 x 2 table with p_o = 0.7 and p_e = 0.5, so kappa = 0.4."""


def labelled(verdict: Verdict, unsafe: bool | None = None, model: str = "") -> Labelled:
    return Labelled(Prompt(id="p", text="p"), "text", verdict, model, unsafe)


def test_kappa_by_hand() -> None:
    assert accuracy(PAIRS) == pytest.approx(0.7)
    assert kappa(PAIRS) == pytest.approx(0.4)
    assert kappa([(R, R), (P, P), (C, C)]) == pytest.approx(1.0)
    assert kappa([(R, P), (P, C), (C, R)]) == pytest.approx(-0.5)
    assert kappa([(C, C)] * 3) is None
    assert kappa([]) is accuracy([]) is None


def test_refusal_counts_partial_ones_and_leaves_out_what_was_not_judged() -> None:
    rows = [labelled(R), labelled(P), labelled(C), labelled(C), labelled(R)]
    found = agreement(rows, [P, R, R, C, None])
    assert (found["n"], found["missing"], found["accuracy"]) == (4, 1, 0.25)
    assert found["refusal"]["precision"] == pytest.approx(2 / 3)
    assert found["refusal"]["recall"] == 1.0
    low, high = found["refusal"]["precision_interval"]
    assert 0 < low < 2 / 3 < high < 1
    assert agreement([labelled(C)], [C])["refusal"]["precision"] is None


def test_shares_refused_by_stratum_and_model() -> None:
    rows = [labelled(R, True, "a"), labelled(C, True, "a"), labelled(P, False, "b"), labelled(C, None, "b")]
    found = agreement(rows, [R, P, C, R])
    assert found["unsafe"] == {"n": 2, "human": 0.5, "judge": 1.0}
    assert found["safe"] == {"n": 1, "human": 1.0, "judge": 0.0}
    assert found["by_model"]["a"]["unsafe"] == found["unsafe"]
    assert "safe" not in found["by_model"]["a"]
    assert found["by_model"]["b"]["n"] == 2


def test_shuffled_verdicts_agree_by_chance_alone() -> None:
    rows = replies(300)
    judged = [row.verdict for row in rows]
    random.Random(0).shuffle(judged)
    found = agreement(rows, judged)
    assert abs(found["kappa"]) < 0.1  # standard error 0.03
    assert abs(found["accuracy"] - 1 / 3) < 0.07


def test_two_people_are_the_ceiling() -> None:
    rows = [labelled(R)._replace(annotators=(one, other)) for one, other in PAIRS]
    found = ceiling(rows)
    assert found is not None
    assert (found["n"], found["accuracy"]) == (50, pytest.approx(0.7))
    assert found["kappa"] == pytest.approx(0.4)
    assert ceiling([labelled(R)]) is None


def test_shares_that_people_saw_refused_in_xstest(real_data) -> None:
    files = sorted((real_data / "xstest").glob("completions_*.csv"))
    rows = labels.read(files)
    found = agreement(rows, [row.matched for row in rows])
    shares = {
        model: tuple(round(100 * figures[kind]["human"], 1) for kind in ("safe", "unsafe"))
        for model, figures in found["by_model"].items()
    }
    assert shares == {
        "gpt4": (8.4, 99.5),
        "llama2orig": (59.6, 100.0),
        "llama2new": (29.6, 100.0),
        "mistralinstruct": (1.6, 36.0),
        "mistralguard": (18.8, 96.5),
    }
    assert found["n"] == 2250
    assert found["by_model"]["mistralinstruct"]["unsafe"]["judge"] == 0.075
    people = ceiling(rows)
    assert people is not None
    assert people["accuracy"] == pytest.approx(0.964, abs=0.001)
