"""Parsed rows, tokenised sets, reference log-probabilities as results of the store: made once, checked, addressed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import gpt2, llama

from alignlab.compose import composed
from alignlab.config import typed
from alignlab.data.module import mismatch
from alignlab.data.schema import Split
from alignlab.data.tokens import LabelTokens, TokenStream, tokenise
from alignlab.errors import DataError
from alignlab.launch import plan
from alignlab.method import Data
from alignlab.models.policy import Policy
from alignlab.stages.artefact import Artefact
from alignlab.stages.graph import Graph
from alignlab.stages.reference import FILE, paired, read_reference, write_reference
from alignlab.worlds.desk.tokenizer import build

WORDS = ("salt", "waves", "ships", "fish")
KINDS = ("rows", "tokens")


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Settings of a run on 80 stored pairs, every twentieth of them identical, and a model directory."""
    tokenizer, folder = build("small"), tmp_path / "model"
    llama(dtype=torch.float32, vocab_size=len(tokenizer), max_position_embeddings=128).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    rows = [
        {
            "prompt": f"tell me about oceans and waves and ships and fish {WORDS[i % 4]} {i} ?",
            "chosen": WORDS[i % 4],
            "rejected": WORDS[i % 4 - (1 if i % 20 else 0)],
            "chosen_safe": True,
            "rejected_safe": i % 3 == 0,
        }
        for i in range(80)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    given = ["model=hf", f"model.path={folder}", "data=files", f"data.path={path}", f"store={tmp_path / 'store'}"]
    return [*given, "stages.sft=null", "algo=dpo"]


def graph(words: Sequence[str], *more: str) -> Graph:
    return Graph(typed(composed([*words, *more])), quiet=True)


def stored(made: Graph, kind: str) -> list[Artefact]:
    return [artefact for artefact in made.store if artefact.kind == kind]


def plain(rows: Sequence[Any]) -> list[list[Any]]:
    return [[np.asarray(getattr(row, spec.name)).tolist() for spec in fields(row)] for row in rows]


def views(made: Graph) -> dict[str, Sequence[Any]]:
    seeds = made.settings.stage_seeds
    return {
        "pairs": made.pair_rows(Split.TRAIN),
        "held out": made.pair_rows(Split.HELD_OUT),
        "safety": made.safety_rows(Split.TRAIN),
        "labels": made.label_rows(Split.TRAIN),
        "demonstrations": made.demonstration_rows(),
        "prompts": [row.prompt for row in made.prompt_rows(Split.TRAIN, seeds)],
    }


def test_the_next_job_neither_parses_nor_tokenises(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    first = graph(words)
    expected = views(first)
    in_memory, _ = tokenise(Data.PAIRS, first.stored_pairs(Split.TRAIN), first.base.tokenizer, first.base.limits())
    assert plain(expected["pairs"]) == plain(in_memory)
    monkeypatch.setattr("alignlab.data.sources.write_table", lambda *_: pytest.fail("parsed again"))
    monkeypatch.setattr(TokenStream, "__iter__", lambda _: pytest.fail("tokenised again"))
    found = views(graph(words, "algo=ipo", "algo.beta=0.3", "seed=5"))
    for name, rows in expected.items():
        if name == "prompts":
            assert [ids.tolist() for ids in found[name]] == [ids.tolist() for ids in rows]
        else:
            assert plain(found[name]) == plain(rows)
    assert (len(stored(first, "rows")), len(stored(first, "tokens"))) == (1, 6)


def test_what_happened_to_the_rows_is_said_by_every_job(words: list[str]) -> None:
    for _ in range(2):
        said: list[str] = []
        made = graph(words, "data.max_length=64", "rollout.max_new_tokens=8", "data.max_prompt=9")
        made.announce = said.append
        made.pair_rows(Split.TRAIN)
        made.pair_rows(Split.TRAIN)
        assert len([line for line in said if line.startswith("pairs: ")]) == 1
        assert any("prompts shortened on the left" in line for line in said)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_file_is_found_and_made_again(words: list[str], kind: str, cut: bool) -> None:
    first = graph(words)
    expected = plain(first.pair_rows(Split.TRAIN))
    [artefact] = stored(first, kind)
    file = artefact.file("rows.arrow")
    raw = file.read_bytes()
    file.write_bytes(raw[: len(raw) // 2] if cut else raw[:-100] + bytes([raw[-100] ^ 1]) + raw[-99:])
    [damage] = first.store.verify()
    assert damage.file == "rows.arrow"
    assert ("bytes instead of" if cut else "was edited") in damage.reason
    assert plain(graph(words).pair_rows(Split.TRAIN)) == expected
    assert first.store.verify() == []
    assert len(first.store.folders("quarantine")) == 1


def test_the_address_holds_what_decides_tokens_and_nothing_else(words: list[str]) -> None:
    made = graph(words)
    made.pair_rows(Split.TRAIN)
    [first] = stored(made, "tokens")
    for same in ("algo=simpo", "algo.lr=1e-3", "seed=7", "trainer.threads=1"):
        graph(words, same).pair_rows(Split.TRAIN)
    assert [artefact.digest for artefact in stored(made, "tokens")] == [first.digest]
    for count, other in enumerate(("data.max_prompt=9", "data.template=hh", "budget=labels budget.limit=20"), start=2):
        graph(words, *other.split()).pair_rows(Split.TRAIN)
        assert len(stored(made, "tokens")) == count
    assert len(stored(made, "rows")) == 1
    assert {"tokenizer", "template", "limits", "code", "libraries", "rows", "view"} == set(first.key.fields)
    assert {"pairs", "part"} <= set(first.key.fields["rows"])
    assert {"alignlab.models.load", "alignlab.data.tokenised", "alignlab.stages.revised"} <= set(
        first.key.fields["code"]
    )


def test_other_code_of_a_source_is_another_set(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made = graph(words)
    made.demonstration_rows()
    [first] = stored(made, "tokens")
    known = first.key.fields["rows"]
    monkeypatch.setattr(Graph, "source_address", lambda *_: {**known, "code": {"a.source": "new"}})
    graph(words).demonstration_rows()
    assert len(stored(made, "tokens")) == 2


def test_a_store_that_may_not_be_written_serves_what_it_holds(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows it lacks lie elsewhere."""
    expected = plain(graph([*words, f"store={words[4][6:]}-other"]).demonstration_rows())
    monkeypatch.setattr("alignlab.stages.rows._writable", lambda _: False)
    made = graph(words)
    assert plain(made.demonstration_rows()) == expected
    assert list(made.store) == []


def test_rows_that_are_refused_leave_no_copy(words: list[str], tmp_path: Path) -> None:
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('{"prompt": "a question", "chosen": 3, "rejected": "no"}\n')
    with pytest.raises(DataError, match="line 81"):
        graph(words)
    assert list((tmp_path / "store" / "work").iterdir()) == []


def test_another_tokenizer_is_another_set_and_other_weights_are_not(words: list[str], tmp_path: Path) -> None:
    made = graph(words)
    made.pair_rows(Split.TRAIN)
    size = len(made.base.tokenizer)
    llama(7, torch.float32, vocab_size=size, max_position_embeddings=128).save_pretrained(tmp_path / "model")
    graph(words).pair_rows(Split.TRAIN)
    assert len(stored(made, "tokens")) == 1
    tokenizer = build("small")
    tokenizer.add_tokens(["waves!"])
    tokenizer.save_pretrained(tmp_path / "model")
    graph(words).pair_rows(Split.TRAIN)
    assert len(stored(made, "tokens")) == 2


def test_a_budget_of_labels_takes_the_first(words: list[str]) -> None:
    whole, some = graph(words), graph(words, "budget=labels", "budget.limit=20")
    assert some.stored_pairs(Split.TRAIN) == whole.stored_pairs(Split.TRAIN)[:20]
    assert plain(some.pair_rows(Split.TRAIN)) == plain([r for r in whole.pair_rows(Split.TRAIN) if r.row < 20])


def test_a_plan_keeps_nothing(words: list[str], tmp_path: Path) -> None:
    settings = typed(composed(words))
    outcomes = dict(plan.stages(settings))
    assert outcomes["preferences"] == "preferences"
    assert not (tmp_path / "store").exists()


def test_reference_logps_are_mapped_in_order(tmp_path: Path) -> None:
    policy = Policy(gpt2(dtype=torch.float32))
    rows = [(np.arange(1 + i % 3, dtype=np.int32), np.arange(1 + i % 4, dtype=np.int32)) for i in range(30)]
    info = write_reference(policy, rows, tmp_path, batch=8, pad_id=0)
    found = read_reference(tmp_path / FILE)
    assert info == {"rows": 30, "tokens": sum(len(reply) for _, reply in rows)}
    for (prompt, reply), logps in zip(rows, found, strict=True):
        ids = torch.tensor([[*prompt.tolist(), *reply.tolist()]])
        logits = policy.model(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        expected = logits.gather(-1, torch.tensor(reply.tolist())[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(logps), expected.detach())
    pairs = paired(found)
    assert len(pairs) == 15
    assert all(one is not two and (one == two).all() for one, two in zip(pairs[4], found[8:10], strict=True))
    with pytest.raises(ValueError, match="3 completions are no pairs"):
        paired(found[:3])


def test_mismatched_completions_are_looked_up_when_asked_for() -> None:
    prompts = [[1, 2], [1, 2], [3], [3], [3], [1, 2]]
    rows = [
        LabelTokens(i, np.array(prompt, np.int32), np.array([10 + i] * 4, np.int32), True, False)
        for i, prompt in enumerate(prompts)
    ]
    found = mismatch(rows, longest=5)
    assert [int(completion[0]) - 10 for _, completion in found] == [2, 2, 5, 5, 5, 2]
    assert [len(completion) for _, completion in found] == [3, 3, 4, 4, 4, 3]
    assert all((prompt == row.prompt).all() for (prompt, _), row in zip(found, rows, strict=True))
    with pytest.raises(DataError, match="2 labels share one prompt"):
        mismatch(rows[:2], longest=5)
