"""Pruning, explaining and the verbs of the command line."""

from __future__ import annotations

import argparse
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alignlab.errors import ConfigError, StoreError
from alignlab.stages import cache
from alignlab.stages.artefact import Artefact
from alignlab.stages.key import StageKey
from alignlab.stages.store import Store, Workspace
from alignlab.stages.upkeep import Rules, contrast, digests_in, find

DAY = 86400


def produce(store: Store, kind: str, size: int = 1000, **fields: object) -> Artefact:
    def build(work: Workspace) -> dict[str, object]:
        (work.out / "model").write_bytes(bytes(size))
        return {"loss": 0.123456, "healthy": True}

    return store.produce(StageKey(kind, fields), build, label=kind.upper())


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, said: list[str]) -> Store:
    return Store(tmp_path / "store", said.append)


def unused_for(store: Store, artefact: Artefact, days: float) -> None:
    then = datetime.now(UTC).timestamp() - days * DAY
    os.utime(store.root / "used" / artefact.path.name, (then, then))


def names(entries: list) -> list[str]:
    return [entry.name for entry in entries]


def test_a_dry_run_removes_nothing_and_tells_sizes(store: Store) -> None:
    one = produce(store, "sft")
    found = store.prune(Rules(everything=True))
    assert names(found) == [one.name]
    assert 1000 < found[0].size < 3000
    assert store.get(one.key) == one


def test_pruned_results_are_gone_with_their_marks(store: Store) -> None:
    one, two = produce(store, "sft"), produce(store, "reward")
    assert names(store.prune(Rules(kind="sft"), dry_run=False)) == [one.name]
    assert store.get(one.key) is None
    assert store.last_used(one.path.name) is None
    assert store.get(two.key) == two
    assert list((store.root / "trash").iterdir()) == []


def test_age_counts_from_the_last_use(store: Store) -> None:
    old, fresh, again = produce(store, "sft", n=1), produce(store, "sft", n=2), produce(store, "sft", n=3)
    unused_for(store, old, 31)
    unused_for(store, fresh, 29)
    unused_for(store, again, 31)
    store.get(again.key)
    assert names(store.prune(Rules(older_than=timedelta(days=30)))) == [old.name]


def test_rules_narrow_one_another(store: Store) -> None:
    one, two = produce(store, "sft"), produce(store, "reward")
    unused_for(store, one, 31)
    unused_for(store, two, 31)
    produce(store, "sft", n=2)
    assert names(store.prune(Rules(kind="sft", older_than=timedelta(days=30)))) == [one.name]


@pytest.mark.parametrize("rules", [{}, {"everything": True, "kind": "sft"}])
def test_rules_must_say_what_goes(rules: dict) -> None:
    with pytest.raises(ConfigError, match="pruning needs to know what may go"):
        Rules(**rules)


def test_what_a_run_came_from_stays(store: Store, tmp_path: Path) -> None:
    sft = produce(store, "sft")
    reward = produce(store, "reward", 2000, parents={"sft": sft.content})
    policy = produce(store, "policy", 3000, parents=[reward.content])
    lost = produce(store, "policy", 4000, parents=["0" * 64])
    (tmp_path / "runs" / "1").mkdir(parents=True)
    (tmp_path / "runs" / "1" / "result.json").write_text(json.dumps({"policy": policy.digest}))
    (tmp_path / "runs" / "1" / "weights.bin").write_text(lost.digest)
    roots = digests_in(tmp_path / "runs", store)
    assert roots == {policy.digest}
    assert names(store.prune(Rules(reachable=roots))) == [lost.name]
    assert set(names(store.prune(Rules(reachable=())))) == {sft.name, reward.name, policy.name, lost.name}
    with pytest.raises(StoreError, match="there is no folder of runs"):
        digests_in(tmp_path / "missing", store)


def test_unfinished_and_damaged_results_can_go_but_not_under_a_running_process(store: Store, said: list[str]) -> None:
    one = produce(store, "sft")
    one.file("model").write_bytes(b"")
    store.get(one.key)
    busy, idle = StageKey("reward", {"n": 1}), StageKey("reward", {"n": 2})

    def fail(work: Workspace) -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        store.produce(idle, fail, label="reward")
    said.clear()
    kept: list[str] = []

    def meanwhile(work: Workspace) -> None:
        removed = store.prune(Rules(everything=True), dry_run=False)
        kept.extend(f"{entry.place} {entry.name}" for entry in removed)
        (work.out / "x").touch()

    assert store.produce(busy, meanwhile, label="reward").file("x").exists()
    assert sorted(kept) == [f"quarantine {one.name}", f"work reward-{idle.short}"]
    assert said == [f"reward-{busy.short} stays: a process works on it"]


def test_what_an_interrupted_removal_left_goes_with_the_next(store: Store) -> None:
    leftover = store.root / "trash" / "sft-x"
    leftover.mkdir(parents=True)
    (leftover / "model").touch()
    produce(store, "sft")
    store.prune(Rules(everything=True), dry_run=False)
    assert not leftover.exists()


def test_why_compares_the_two_newest_of_a_kind(store: Store) -> None:
    one = produce(store, "sft", algo={"lr": 0.1})
    assert store.why("sft")[0].startswith(f"{one.name} (SFT), ")
    two = produce(store, "sft", algo={"lr": 0.2})
    assert store.why("sft") == [f"{one.name} (SFT) → {two.name} (SFT)", "  algo.lr: 0.1 → 0.2"]


def test_why_shows_the_fields_behind_a_digest(store: Store) -> None:
    one = produce(store, "sft", algo={"lr": 0.1}, parent="c" * 64, seeds=[])
    produce(store, "reward")
    for what in (one.digest[:6], one.name, one.path.name, "sft"):
        lines = store.why(what)
        assert lines[0].endswith(f"in {one.path}")
        assert lines.pop(5).startswith("  info.seconds = ")
        lines = [line for line in lines if not line.startswith("  info.work.")]
        assert lines[1:] == [
            "  algo.lr = 0.1",
            f"  parent = {'c' * 12}",
            "  seeds = []",
            f"  content = {one.content[:12]}",
            "  info.loss = 0.123456",
            "  info.healthy = true",
        ]


def test_why_explains_a_wanted_key_by_the_nearest(store: Store) -> None:
    wanted = StageKey("sft", {"lr": 0.1, "seed": 1})
    assert store.why("SFT", wanted) == [f"SFT has to be computed: {store.root} holds no 'sft'"]
    produce(store, "sft", lr=0.2, seed=2)
    near = produce(store, "sft", lr=0.1, seed=2)
    produce(store, "reward", lr=0.1, seed=1)
    assert store.why("SFT", wanted) == [
        f"SFT has to be computed; the nearest stored is {near.name} (SFT), which differs in",
        "  seed: 2 → 1",
    ]
    assert store.why("SFT", near.key) == [f"SFT is stored as {near.name}"]


def test_why_refuses_what_it_cannot_find(store: Store) -> None:
    with pytest.raises(StoreError, match="answers to 'sft'; it holds nothing"):
        store.why("sft")
    produce(store, "sft", n=1)
    produce(store, "sft", n=2)
    with pytest.raises(StoreError, match=r"answers to 'swt'; it holds sft\n  remedy: see .*cache ls"):
        store.why("swt")
    with pytest.raises(StoreError, match=r"'sft-' could be any of sft-\w{12}, sft-\w{12}\n  remedy: give more"):
        find(store, "sft-")


def test_equal_keys_have_no_contrast(store: Store) -> None:
    one = produce(store, "sft")
    assert contrast(one, one)[1:] == ["  the keys are equal"]


def run(store: Store, *argv: str) -> int:
    return cache.main([*argv, "--store", str(store.root)])


def test_ls_lists_everything(store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    one, two = produce(store, "sft"), produce(store, "reward", 5_000_000)
    assert run(store, "ls") == 0
    text = capsys.readouterr().out
    for found, size in ((one, "1.0 kB"), (two, "5.0 MB")):
        line = next(line for line in text.splitlines() if line.startswith(found.kind))
        assert line.split()[:4] == [found.kind, found.key.short, *size.split()]
        assert line.rstrip().endswith(f"0 s  {found.label}")
    assert f"2 artefacts, 5.0 MB, in {store.root}" in text
    assert run(store, "ls", "--kind", "sft") == 0
    assert "reward" not in capsys.readouterr().out


def test_ls_mentions_what_is_unfinished_or_damaged(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    one = produce(store, "sft")
    one.file("model").unlink()
    store.get(one.key)
    (store.root / "work" / one.path.name).mkdir()
    run(store, "ls")
    text = capsys.readouterr().out
    assert "1 unfinished in" in text
    assert "1 damaged in" in text


def test_verify_tells_by_its_exit_code(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    one = produce(store, "sft")
    assert run(store, "verify") == 0
    assert "1 artefacts are as they were written" in capsys.readouterr().out
    one.file("model").write_bytes(b"1")
    assert run(store, "verify") == 1
    text = capsys.readouterr().out
    assert f"damaged: {one.path}: model has 1 bytes instead of 1000" in text
    assert one.path.is_dir()


def test_prune_shows_first_and_removes_on_request(
    store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    one = produce(store, "sft")
    unused_for(store, one, 40)
    for rule in (["--all"], ["--older-than", "30d"], ["--kind", "sft"], ["--unreachable", str(tmp_path)]):
        assert run(store, "prune", *rule) == 0
        text = capsys.readouterr().out
        assert f"objects     {one.name}  unused for 40 d" in text
        assert "would remove 1 folders" in text
    (tmp_path / "run.yaml").write_text(f"sft: {one.digest}")
    for rule in (["--older-than", "6w"], ["--kind", "reward"], ["--unreachable", str(tmp_path)]):
        assert run(store, "prune", *rule) == 0
        assert "would remove 0 folders" in capsys.readouterr().out
    assert store.get(one.key) == one
    assert run(store, "prune", "--all", "--delete") == 0
    assert "removed 1 folders" in capsys.readouterr().out
    assert store.get(one.key) is None


@pytest.mark.parametrize(
    "argv", [["prune"], ["prune", "--all", "--kind", "sft"], ["prune", "--older-than", "soon"], ["eat"], []]
)
def test_wrong_usage_is_exit_code_2(store: Store, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    produce(store, "sft")
    assert cache.main([*argv, "--store", str(store.root)] if argv else []) == 2
    captured = capsys.readouterr()
    assert "usage: python -m alignlab cache" in captured.out + captured.err
    assert len(list(store)) == 1


def test_why_prints_the_lines(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = produce(store, "sft", lr=0.1), produce(store, "reward", lr=0.2)
    assert run(store, "why", "sft") == 0
    assert capsys.readouterr().out.splitlines() == store.why("sft")
    assert run(store, "why", one.name, two.name) == 0
    assert capsys.readouterr().out.splitlines() == contrast(one, two)


def test_the_store_is_found_by_option_variable_or_folder(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    produce(store, "sft")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALIGNLAB_STORE", raising=False)
    assert cache.main(["verify"]) == 0
    assert "1 artefacts are as they were written" in capsys.readouterr().out
    monkeypatch.setenv("ALIGNLAB_STORE", str(tmp_path / "other"))
    assert cache.main(["verify"]) == 0
    assert f"there is no store at {tmp_path / 'other'} yet" in capsys.readouterr().out
    assert run(store, "verify") == 0
    assert "1 artefacts" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "hours"), [("90m", 1.5), ("12h", 12), ("30d", 720), ("4w", 672)])
def test_ages(text: str, hours: float) -> None:
    assert cache.age(text) == timedelta(hours=hours)


def test_an_age_needs_a_unit() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="'30' is no age; write 90m"):
        cache.age("30")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (999_499, "999 kB"),
        (999_600, "1.0 MB"),
        (2.5e15, "2500 TB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert cache.size(count) == text


@pytest.mark.parametrize(
    ("hours", "text"), [(0.5, "30 min"), (-1, "0 min"), (47, "47 h"), (49, "2 d"), (24 * 40, "40 d")]
)
def test_times_passed(hours: float, text: str) -> None:
    assert cache.since(datetime.now(UTC) - timedelta(hours=hours)) == text
