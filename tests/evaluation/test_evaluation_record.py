from __future__ import annotations

import dataclasses
import json
import math

import pytest
from evaluation_samples import sample

from alignlab.data.schema import Message, Prompt, Verdict
from alignlab.errors import DataError
from alignlab.evaluation.record import Reply, Sample, join, read_samples, write_samples


def full() -> Sample:
    prompt = Prompt(
        "p1",
        (Message("system", "be kind"), Message("user", "line\nbreak\u2028and \ud800 half a pair")),
        kind="harmful",
        attack="stack",
        base="goal",
        meta={"words": ["a", "b"], "needed": 2},
    )
    return Sample(
        prompt=prompt, attempt=3, text="no\r\n\u2029", length=5, ended=False, gold=0.1, proxy=-1.5, judge_score=1e-300,
        verdict=Verdict.PARTIAL, kl=1 / 3, k1=-0.2, k3=0.3, entropy=1.1, logp=-7.0,
        sft=Reply(text="x", length=1, ended=True, verdict=Verdict.COMPLIED),
    )  # fmt: skip


def test_round_trip_keeps_every_field(tmp_path):
    samples = [full(), sample("p2"), Sample(prompt=Prompt("raw", text="Once"), text="", length=1, ended=True)]
    write_samples(tmp_path / "samples.jsonl", samples)
    assert read_samples(tmp_path / "samples.jsonl") == samples


def test_file_is_one_json_object_a_line_with_its_version(tmp_path):
    write_samples(tmp_path / "s.jsonl", [full(), full()])
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_bytes().split(b"\n")[:-1]]
    assert [row["schema"] for row in rows] == [1, 1]
    assert rows[0]["verdict"] == "partial"


def test_no_samples_make_an_empty_file(tmp_path):
    write_samples(tmp_path / "s.jsonl", [])
    assert read_samples(tmp_path / "s.jsonl") == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_refused_and_the_old_file_stays(tmp_path, value):
    path = tmp_path / "s.jsonl"
    write_samples(path, [sample("old")])
    with pytest.raises(DataError, match=r"proxy of attempt 0 at prompt 'new' is not a finite number"):
        write_samples(path, [sample("new", proxy=value)])
    assert [each.prompt.id for each in read_samples(path)] == ["old"]
    assert [each.name for each in tmp_path.iterdir()] == ["s.jsonl"]


def test_a_twin_with_a_number_that_is_not_finite_is_refused(tmp_path):
    bad = dataclasses.replace(sample("new"), sft=Reply(text="", length=1, ended=True, gold=math.nan))
    with pytest.raises(DataError, match="a field of its prompt or twin of attempt 0 at prompt 'new'"):
        write_samples(tmp_path / "s.jsonl", [bad])


def test_another_version_is_refused_by_file_and_line(tmp_path):
    write_samples(tmp_path / "s.jsonl", [sample("a"), sample("b")])
    text = (tmp_path / "s.jsonl").read_text().replace('"schema": 1', '"schema": 9')
    (tmp_path / "s.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"s.jsonl:1 has schema version 9, this version of alignlab reads 1"):
        read_samples(tmp_path / "s.jsonl")


@pytest.mark.parametrize("line", ["{", "[1]", '{"schema": 1}', '{"schema": 1, "prompt": {"messages": 3}}'])
def test_a_broken_line_is_named(tmp_path, line):
    write_samples(tmp_path / "s.jsonl", [sample("a")])
    with (tmp_path / "s.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"s.jsonl:2 is not a sample"):
        read_samples(tmp_path / "s.jsonl")


def test_an_unknown_verdict_is_refused(tmp_path):
    write_samples(tmp_path / "s.jsonl", [sample("a", verdict=Verdict.REFUSED)])
    path = tmp_path / "s.jsonl"
    path.write_text(path.read_text().replace('"refused"', '"declined"'))
    with pytest.raises(DataError, match=r"not a sample.*declined"):
        read_samples(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read samples from .*none.jsonl: No such file"):
        read_samples(tmp_path / "none.jsonl")


def test_join_pairs_by_prompt_and_attempt_whatever_the_order():
    after = [sample("a", attempt=0, gold=1.0), sample("a", attempt=1, gold=2.0), sample("b", gold=3.0)]
    before = [sample("a", attempt=1, gold=-2.0, text="old"), sample("a", attempt=0, gold=-1.0), sample("c")]
    joined = join(after, before)
    assert [each.gold for each in joined] == [1.0, 2.0, 3.0]
    assert [each.sft and each.sft.gold for each in joined] == [-1.0, -2.0, None]
    assert joined[1].sft == Reply(text="old", length=4, ended=True, gold=-2.0)


@pytest.mark.parametrize(
    ("after", "before", "whose"),
    [([sample("a"), sample("a")], [], "policy"), ([sample("a")], [sample("b"), sample("b")], "SFT policy")],
)
def test_join_refuses_an_attempt_that_is_there_twice(after, before, whose):
    with pytest.raises(DataError, match=rf"the {whose}'s evaluation holds attempt 0 of prompt '\w' twice"):
        join(after, before)
