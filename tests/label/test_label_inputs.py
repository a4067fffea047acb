"""What there is to label, from runs and from plain rows."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from label_inputs import rows, run, three

from alignlab.errors import DataError, StoreError
from alignlab.label.inputs import load


def test_runs_are_joined_by_prompt_and_attempt(tmp_path: Path) -> None:
    paths = [run(tmp_path / "a", "red"), run(tmp_path / "b", "green", count=5)]
    inputs = load(paths)
    assert inputs.methods == ["red", "green"]
    assert len(inputs.requests) == 5
    first = inputs.requests[0]
    assert {name: [each.text for each in found] for name, found in first.candidates.items()} == {
        "red": ["red 0.1 says 0 with seed 0"],
        "green": ["green 0.1 says 0 with seed 0"],
    }
    assert not first.candidates["red"][0].ended
    assert first.candidates["red"][0].run == str(tmp_path / "a")


def test_seeds_are_one_method_and_settings_are_several(tmp_path: Path) -> None:
    for seed in (0, 1):
        for beta in (0.1, 0.3):
            run(tmp_path / f"{seed}-{beta}", "red", seed=seed, beta=beta)
        run(tmp_path / f"{seed}-green", "green", seed=seed)
    inputs = load([tmp_path])
    assert set(inputs.methods) == {"red beta=0.1", "red beta=0.3", "green"}
    sides = inputs.requests[0].candidates
    assert [each.seed for each in sides["green"]] == [0, 1]
    assert len({each.settings for each in sides["green"]}) == 1
    assert sides["red beta=0.1"][0].settings != sides["red beta=0.3"][0].settings


def test_many_different_settings_are_told_apart_by_a_digest(tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    for number in (0, 1):
        folder = run(tmp_path / str(number), "red", text=str(number))
        algo = {"name": "red", **{f"setting{place}": number for place in range(5)}}
        OmegaConf.save(OmegaConf.create({"config": {"algo": algo}}), folder / "config.yaml")
    methods = load([tmp_path]).methods
    assert len(methods) == 2
    assert all(len(method) == len("red 0123456789ab") for method in methods)


def test_one_method_is_compared_with_what_it_started_from(tmp_path: Path) -> None:
    run(tmp_path / "s" / "0", "red")
    run(tmp_path / "s" / "1", "red", seed=1)
    assert load([tmp_path / "s"]).methods == ["red", "sft"]
    run(tmp_path / "s" / "2", "green")
    assert load([tmp_path / "s"]).methods == ["red", "green"]
    assert load([tmp_path / "s"], with_sft=True).methods == ["red", "sft", "green"]


def test_real_harmful_requests_are_left_out_until_asked_for(tmp_path: Path) -> None:
    paths = [run(tmp_path / name, name, gold=None) for name in ("red", "green")]
    inputs = load(paths)
    assert {request.prompt.kind for request in inputs.requests} == {"benign", "lookalike"}
    assert inputs.notes == ["8 completions to real harmful requests are left out; --reveal takes them in"]
    assert "harmful" in {request.prompt.kind for request in load(paths, reveal=True).requests}
    embedded = [run(tmp_path / f"{name}-gold", name) for name in ("red", "green")]
    assert "harmful" in {request.prompt.kind for request in load(embedded).requests}
    plain = {"kind": "harmful", "completions": ["a", "b"]}
    file = rows(tmp_path / "x.jsonl", [{"prompt": "bad", **plain}, {"prompt": "good", "completions": ["a", "b"]}])
    assert [request.prompt.text for request in load([file]).requests] == ["good"]


def test_kinds_are_kept_or_refused_by_name(tmp_path: Path) -> None:
    paths = [run(tmp_path / name, name) for name in ("red", "green")]
    assert {request.prompt.kind for request in load(paths, kinds=["lookalike"]).requests} == {"lookalike"}
    with pytest.raises(DataError, match=r"no request of kind 'bening'\n.*benign, harmful, lookalike"):
        load(paths, kinds=["bening"])


def test_unfinished_runs_are_named_and_passed_over(tmp_path: Path) -> None:
    for name in ("red", "green", "blue"):
        run(tmp_path / "sweep" / name, name)
    (tmp_path / "sweep" / "blue" / "result.json").unlink()
    inputs = load([tmp_path / "sweep"])
    assert inputs.methods == ["green", "red"]
    assert inputs.notes == [f"{tmp_path / 'sweep' / 'blue'} is left out: its run has not finished"]
    with pytest.raises(DataError, match="none of its runs has finished"):
        load([tmp_path / "sweep" / "blue"])


def test_samples_need_nothing_beside_them(tmp_path: Path) -> None:
    for name in ("red", "green"):
        folder = run(tmp_path / name, name)
        (folder / "samples.jsonl").rename(tmp_path / f"{name}.jsonl")
    assert load([tmp_path / "red.jsonl", tmp_path / "green.jsonl"]).methods == ["red", "green"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "q", "completions": {"a": "x", "b": "y"}}, {"a": "x", "b": "y"}),
        ({"prompt": "q", "completions": ["x", "y"]}, {"completion 1": "x", "completion 2": "y"}),
        (
            {"prompt": "q", "completions": [{"text": "x", "model": "a"}, {"content": "y"}]},
            {"a": "x", "completion 2": "y"},
        ),
        ({"prompt": "q", "chosen": "x", "rejected": "y"}, {"chosen": "x", "rejected": "y"}),
        (
            {"prompt": [{"role": "user", "content": "q"}], "completions": {"a": "x", "b": "y", "c": "z"}},
            {"a": "x", "b": "y", "c": "z"},
        ),
    ],
)
def test_shapes_of_plain_rows(row: dict[str, object], expected: dict[str, str], tmp_path: Path) -> None:
    [request] = load([rows(tmp_path / "x.jsonl", [row])]).requests
    assert {name: found[0].text for name, found in request.candidates.items()} == expected
    assert request.prompt.show() == "q"


def test_files_of_one_method_each_are_joined_by_prompt(tmp_path: Path) -> None:
    for name in ("red", "green"):
        answers = [{"prompt": f"q{n % 2}", "completion": f"{name} {n}"} for n in range(4)]
        rows(tmp_path / f"{name}.jsonl", answers)
    packed = tmp_path / "green.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "green.jsonl").read_bytes()))
    inputs = load([tmp_path / "red.jsonl", packed])
    texts = [[found[0].text for found in request.candidates.values()] for request in inputs.requests]
    assert texts == [["red 0", "green 0"], ["red 1", "green 1"], ["red 2", "green 2"], ["red 3", "green 3"]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "q"}, "line 1: a prompt without completions"),
        ({"prompt": "q", "completions": ["x"]}, "line 1: completions must be two texts or more"),
        ({"prompt": "q", "completions": {"a": 1, "b": "y"}}, "line 1: completions must be two texts or more"),
        ({"completions": ["x", "y"]}, "line 1: key 'prompt' is missing"),
        ({"prompt": "q", "completion": "x"}, "no request has completions of two methods"),
    ],
)
def test_rows_that_cannot_be_used(row: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        load([rows(tmp_path / "x.jsonl", [row])])


def test_what_is_not_there_or_broken(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no .*nothing"):
        load([tmp_path / "nothing"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"nothing to label: it holds no samples\.jsonl"):
        load([tmp_path / "empty"])
    folder = run(tmp_path / "red", "red")
    (folder / "config.yaml").write_text("a: [")
    with pytest.raises(StoreError, match=r"config.yaml cannot be read"):
        load([folder])
    (folder / "result.json").write_text(json.dumps({"schema": 9}))
    with pytest.raises(StoreError, match="schema version 9"):
        load([folder])


def test_the_same_run_twice_is_one(tmp_path: Path) -> None:
    run(tmp_path / "red", "red")
    inputs = load([tmp_path, tmp_path / "red", three(tmp_path / "x.jsonl")])
    assert len(inputs.requests[0].candidates.get("red", [])) <= 1
