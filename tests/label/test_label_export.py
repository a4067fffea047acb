"""Labels as pairs: the rows `data=files` composes with and reads, and trains on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from label_inputs import planned, run, session
from small import llama
from support import ROOT, alignlab
from test_label_summary import said

from alignlab import registry
from alignlab.__main__ import main
from alignlab.compose import composed
from alignlab.config import typed
from alignlab.data.schema import Message, Pair, Prompt, Split
from alignlab.errors import DataError
from alignlab.label.export import export, pairs, places
from alignlab.label.store import Judgement, line


def test_a_choice_a_tie_and_a_skip() -> None:
    found = pairs([said(0, [2, 1]), said(1, [1, 1]), said(2, None)])
    assert [(row["chosen"], row["rejected"], row["probability"]) for row in found] == [
        ("b0", "a0", 1.0),
        ("a1", "b1", 0.5),
    ]
    assert [row["prompt"] for row in found] == ["question 0", "question 1"]


def test_rankings_become_all_their_pairs() -> None:
    found = pairs([said(0, [2, 1, 2], "abc")])
    assert {(row["chosen"], row["rejected"], row["probability"]) for row in found} == {
        ("b0", "a0", 1.0),
        ("a0", "c0", 0.5),
        ("b0", "c0", 1.0),
    }


def test_what_was_said_twice_is_one_row_with_the_mean() -> None:
    labels = [said(0, [1, 2]), said(0, [2, 1], again=True), said(0, [2, 1], annotator="x"), said(0, [1, 1], "ba")]
    [row] = pairs(labels)
    assert (row["chosen"], row["rejected"], row["judgements"]) == ("b0", "a0", 4)
    assert row["probability"] == pytest.approx(1 - (1 + 0 + 0 + 0.5) / 4)


def test_nothing_to_learn_is_left_out(tmp_path: Path) -> None:
    label = said(0, [1, 2])
    blank = replace(label, completions=(label.completions[0], replace(label.completions[1], text=" \n")))
    same = replace(label, completions=(label.completions[0], replace(label.completions[1], text="a0 ")))
    assert pairs([blank, same]) == []
    with pytest.raises(DataError, match="no label says anything"):
        export([blank], tmp_path / "out.jsonl")


def conversation(number: int, ranks: Sequence[int], methods: str = "ab") -> Judgement:
    turns = (Message("system", "be brief"), Message("user", f"tell me about rivers {number} ?"))
    return replace(said(number, ranks, methods), prompt=Prompt(f"p{number}", turns, kind="benign"))


def test_data_files_reads_the_rows(tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    labels = [conversation(number, [1, 2] if number % 2 else [1, 1]) for number in range(40)]
    labels.append(conversation(40, [3, 2, 1], "abc"))
    assert export(labels, out) == 43
    found = stored(out)
    assert len(found) == 43
    by_chosen = {(pair.prompt.messages[-1].content, pair.chosen.text, pair.rejected.text): pair for pair in found}
    assert by_chosen["tell me about rivers 1 ?", "a1", "b1"].probability == 1.0
    assert by_chosen["tell me about rivers 2 ?", "a2", "b2"].probability == 0.5
    for chosen, rejected in (("c40", "b40"), ("c40", "a40"), ("b40", "a40")):
        pair = by_chosen["tell me about rivers 40 ?", chosen, rejected]
        assert (pair.probability, pair.prompt.kind) == (1.0, "benign")
        assert pair.prompt.messages == labels[-1].prompt.messages


def stored(path: Path) -> list[Pair]:
    """Pairs of every split, as a run that composes data=files gets them."""
    data = typed(composed(["data=files", f"data.path={path}", "model=hf", "model.path=x"])).data
    source = registry.component("sources", data.source).load()(data)
    return [pair for split in Split for pair in source.pairs(split)]


def test_where_pairs_stand_is_counted(tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    export([conversation(number, [1, 2]) for number in range(200)], out)
    counts = places(out)
    assert sum(counts.values()) == 200
    assert counts[Split.TRAIN] > 120
    assert min(counts.values()) > 0
    export([conversation(number, [1, 2]) for number in range(3)], out)
    with pytest.raises(DataError, match="3 distinct prompts"):
        places(out)


def test_evaluation_prompts_stay_so_and_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Labels of a run on stored data are all on its evaluation prompts."""
    out, labels = tmp_path / "pairs.jsonl", [conversation(number, [1, 2]) for number in range(300)]
    export(labels, out)
    rows = [json.loads(text) for text in out.read_text().splitlines()]
    evaluation = {row["chosen"] for row in rows if _split(row, tmp_path) is Split.EVALUATION}
    kept = [label for label in labels if label.completions[0].text in evaluation]
    (tmp_path / "labels.jsonl").write_text("".join(map(line, kept)))
    assert main(["label", "export", str(tmp_path / "labels.jsonl"), "--pairs", str(out)]) == 0
    said = capsys.readouterr()
    assert f"{len(kept)} pairs in {out}" in said.out
    assert "evaluation prompts of their data" in said.err
    again = "data.evaluation=0.01 data.validation=0.005 data.held_out=0.01"
    assert again in said.err


def _split(row: dict[str, object], folder: Path) -> Split:
    from zlib import crc32

    from alignlab.data.shapes import base_of

    turns = row["prompt"]
    assert isinstance(turns, list)
    place = crc32(base_of(turns[-1]["content"]).encode()) / 2**32
    return Split.EVALUATION if place < 0.1 else Split.TRAIN


@pytest.mark.slow
def test_a_method_trains_on_exported_labels(tmp_path: Path) -> None:
    import torch

    from alignlab.worlds.desk.tokenizer import build

    tokenizer = build("small")
    llama(dtype=torch.float32, vocab_size=len(tokenizer), max_position_embeddings=128).save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")
    runs = [run(tmp_path / name, name, text=word, count=40) for name, word in (("red", "salt"), ("green", "fish"))]
    asked = session(planned(*runs), tmp_path / "labels.jsonl")
    number = 0
    while (showing := asked.current()) is not None:
        asked.answer(showing.id, [1, 1] if number % 3 == 0 else [1, 2], 1.0)
        number += 1
    done = alignlab("label", "export", "labels.jsonl", "--pairs", "pairs.jsonl", cwd=tmp_path, path=(ROOT,))
    assert done.returncode == 0, done.stderr
    data = ["model=hf", "model.path=m", "data=files", "data.path=pairs.jsonl"]
    quick = ["overlap=false", "rollout.max_new_tokens=8", "stages.reward.epochs=1", "stages.sft.epochs=1"]
    more = ["evaluation.prompts=8", "evaluation.attempts=1", "algo.batch_size=8"]
    done = alignlab("algo=dpo", *data, *quick, *more, cwd=tmp_path, path=(ROOT,))
    assert done.returncode == 0, done.stderr
    assert "40 rows of shape 'pairs'" in done.stderr + done.stdout
