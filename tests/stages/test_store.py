"""The store in one process: reuse, damage, resumption, and what may go into an artefact."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from alignlab.errors import ConfigError, StoreError, TrainingError
from alignlab.stages import artefact as artefacts
from alignlab.stages.artefact import Artefact
from alignlab.stages.key import StageKey
from alignlab.stages.store import Store, Workspace

KEY = StageKey("sft", {"lr": 0.1})


class Build:
    """Writes two files and counts how often it was asked."""

    def __init__(self, text: str = "weights") -> None:
        self.text, self.calls = text, 0

    def __call__(self, work: Workspace) -> dict[str, object]:
        self.calls += 1
        (work.out / "model.bin").write_text(self.text)
        (work.out / "tokenizer").mkdir()
        (work.out / "tokenizer" / "vocab.json").write_text("{}")
        return {"seconds": 1.5}


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, said: list[str]) -> Store:
    return Store(tmp_path / "store", said.append)


def test_an_empty_store_has_nothing(store: Store) -> None:
    assert store.get(KEY) is None
    assert list(store) == []
    assert store.verify() == []
    assert not store.root.exists()


def test_a_stage_is_computed_once(store: Store, said: list[str]) -> None:
    build = Build()
    first = store.produce(KEY, build, label="SFT")
    assert store.produce(KEY, build, label="SFT") == first == store.get(KEY) == Store(store.root).get(KEY)
    assert build.calls == 1
    assert said == []


def test_an_artefact_describes_itself(store: Store) -> None:
    found = store.produce(KEY, Build(), label="SFT")
    assert (found.kind, found.digest, found.label) == ("sft", KEY.digest, "SFT")
    assert found.name == f"sft-{KEY.short}"
    assert found.files == {"model.bin": 7, "tokenizer/vocab.json": 2}
    assert found.size == 9
    assert found.info["seconds"] == 1.5
    assert found.info["work"]["flops"] == 0
    assert set(found.info) == {"seconds", "work"}
    assert found.key == KEY
    assert found.key.fields == {"lr": 0.1}
    assert abs(found.created.timestamp() - time.time()) < 60
    assert found.file("model.bin").read_text() == "weights"
    assert found.file("tokenizer/vocab.json").read_text() == "{}"
    assert found.file("tokenizer").is_dir()
    with pytest.raises(
        StoreError, match=rf"sft-{KEY.short} has no file 'token'\n.*it holds model.bin, tokenizer/vocab"
    ):
        found.file("token")


def test_an_artefact_crosses_processes(store: Store) -> None:
    found = store.produce(KEY, Build(), label="SFT")
    assert pickle.loads(pickle.dumps(found)) == found


def test_content_depends_on_the_files_alone(store: Store) -> None:
    one = store.produce(KEY, Build(), label="SFT")
    same = store.produce(StageKey("reward", {}), Build(), label="other")
    other = store.produce(StageKey("sft", {"lr": 1}), Build("others"), label="SFT")
    assert one.content == same.content != other.content
    hashes = {
        name: hashlib.sha256(text).hexdigest()
        for name, text in (("model.bin", b"weights"), ("tokenizer/vocab.json", b"{}"))
    }
    text = json.dumps(hashes, sort_keys=True, separators=(",", ":"))
    assert one.content == hashlib.sha256(text.encode()).hexdigest()


def test_info_may_hold_what_json_cannot_spell(store: Store) -> None:
    def build(work: Workspace) -> dict[str, object]:
        (work.out / "x").touch()
        return {"loss": math.nan, "best": (1, 2.0)}

    info = store.produce(KEY, build, label="SFT").info
    told = {name: value for name, value in info.items() if name not in ("seconds", "work")}
    assert told == {"loss": "nan", "best": [1, 2.0]}


def test_a_build_without_info_is_fine(store: Store) -> None:
    assert set(store.produce(KEY, lambda work: (work.out / "x").touch(), label="SFT").info) == {"seconds", "work"}


def _touch(name: str) -> Callable[[Workspace], None]:
    return lambda work: (work.out / name).touch()


@pytest.mark.parametrize(
    ("build", "error", "match"),
    [
        (lambda work: None, StoreError, "stage SFT wrote no files"),
        (_touch("manifest.json"), StoreError, "stage SFT wrote manifest.json, a name the store uses"),
        (lambda work: (work.out / "x").symlink_to("/"), StoreError, "x is a link"),
        (lambda work: _touch("x")(work) or {"model": object()}, ConfigError, "info.model is a builtins.object"),
    ],
)
def test_what_cannot_be_an_artefact_is_refused(
    store: Store, build: Callable[[Workspace], None], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        store.produce(KEY, build, label="SFT")
    assert store.get(KEY) is None


def _truncate(found: Artefact) -> None:
    found.file("model.bin").write_text("weigh")


def _edit(found: Artefact) -> None:
    found.file("model.bin").write_text("weightz")


def _edit_keeping_the_time(found: Artefact) -> None:
    path = found.file("model.bin")
    stat = path.stat()
    path.write_text("weightz")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _lose(found: Artefact) -> None:
    found.file("tokenizer/vocab.json").unlink()


def _lose_manifest(found: Artefact) -> None:
    (found.path / "manifest.json").unlink()


def _truncate_manifest(found: Artefact) -> None:
    path = found.path / "manifest.json"
    path.write_bytes(path.read_bytes()[:-40])


def _empty_manifest(found: Artefact) -> None:
    (found.path / "manifest.json").write_text("[]")


def _edit_manifest(found: Artefact) -> None:
    path = found.path / "manifest.json"
    path.write_text(path.read_text().replace("1.5", "1.6"))


DAMAGES = [
    (_truncate, "model.bin has 5 bytes instead of 7"),
    (_edit, "model.bin was edited"),
    (_edit_keeping_the_time, "model.bin was edited"),
    (_lose, "tokenizer/vocab.json is missing"),
    (_lose_manifest, "manifest.json is missing"),
    (_truncate_manifest, "manifest.json is not readable"),
    (_empty_manifest, "manifest.json is not readable"),
    (_edit_manifest, "manifest.json was edited"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_damage_is_named_quarantined_and_computed_again(
    store: Store, said: list[str], damage: Callable[[Artefact], None], reason: str
) -> None:
    build = Build()
    found = store.produce(KEY, build, label="SFT")
    damage(found)
    assert [f"{d.file} {d.reason}" for d in store.verify()] == [reason]
    assert store.get(KEY) is None
    target = store.root / "quarantine" / f"{KEY.name}.1"
    assert said == [f"artefact sft-{KEY.short} is damaged: {reason}. Moved to {target}; it is computed again"]
    assert target.is_dir()
    again = store.produce(KEY, build, label="SFT")
    assert build.calls == 2
    assert again.content == found.content
    assert store.verify() == []


def test_produce_alone_also_finds_damage_and_each_keeps_its_place(store: Store, said: list[str]) -> None:
    build = Build()
    for count in (1, 2, 3):
        _edit(store.produce(KEY, build, label="SFT"))
        assert build.calls == count
    assert sorted(p.name[-2:] for p in store.folders("quarantine")) == [".1", ".2"]
    assert len(said) == 2


def test_an_artefact_under_anothers_name_is_damage(store: Store, said: list[str]) -> None:
    found = store.produce(KEY, Build(), label="SFT")
    other = StageKey("sft", {"lr": 0.2})
    os.rename(found.path, store.root / "objects" / other.name)
    assert store.get(other) is None
    assert "belongs to another artefact" in said[0]


def test_files_that_others_leave_beside_are_ignored(store: Store) -> None:
    found = store.produce(KEY, Build(), label="SFT")
    (found.path / "cache-123.arrow").write_text("left by a reader")
    assert store.get(KEY) == found


def test_an_artefact_of_a_newer_alignlab_is_left_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(artefacts, "FORMAT", artefacts.FORMAT + 1)
        store.produce(KEY, Build(), label="SFT")
    with pytest.raises(StoreError, match=r"written by a newer alignlab\n  remedy: update"):
        store.get(KEY)
    assert store.folders("quarantine") == []


def test_repeated_loading_reads_the_files_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found = store.produce(KEY, Build(), label="SFT")
    read = []

    def counted(path: Path, whole: Callable[[Path], str] = artefacts.sha256_file) -> str:
        read.append(path.name)
        return whole(path)

    long_ago = time.time_ns() + 10**9
    monkeypatch.setattr(artefacts, "sha256_file", counted)
    monkeypatch.setattr(artefacts.time, "time_ns", lambda: long_ago)
    for _ in range(3):
        assert store.get(KEY) == found
    assert sorted(read) == ["model.bin", "vocab.json"]
    store.verify()
    assert len(read) == 4


def test_an_edit_within_one_tick_of_the_clock_is_seen(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found = store.produce(KEY, Build(), label="SFT")
    now = time.time_ns()
    stat = os.stat

    def coarse(path: Path) -> SimpleNamespace:
        real = stat(path)
        fixed = dict(st_mtime_ns=now, st_ctime_ns=now, st_size=real.st_size, st_ino=real.st_ino, st_dev=real.st_dev)
        return SimpleNamespace(**fixed)

    monkeypatch.setattr(artefacts, "os", SimpleNamespace(stat=coarse))
    monkeypatch.setattr(artefacts, "time", SimpleNamespace(time_ns=lambda: now + 10**7))
    assert store.get(KEY) == found
    _edit(found)
    assert store.get(KEY) is None


def test_an_interrupted_build_publishes_nothing_and_resumes(store: Store) -> None:
    def crash(work: Workspace) -> None:
        (work.path / "checkpoint").write_text("step 7")
        (work.out / "half").write_text("ha")
        raise TrainingError("loss is not finite at step 8")

    with pytest.raises(TrainingError, match="step 8"):
        store.produce(KEY, crash, label="SFT")
    assert store.folders("objects") == []
    assert store.get(KEY) is None

    def resume(work: Workspace) -> None:
        assert (work.path / "checkpoint").read_text() == "step 7"
        assert list(work.out.iterdir()) == []
        (work.out / "model.bin").write_text("done")

    assert store.produce(KEY, resume, label="SFT").files == {"model.bin": 4}
    assert store.folders("work") == []


def test_stages_may_need_other_stages(store: Store) -> None:
    def child(work: Workspace) -> None:
        parent = store.produce(KEY, Build(), label="SFT")
        (work.out / "x").write_text(parent.content)

    found = store.produce(StageKey("reward", {}), child, label="reward")
    assert found.file("x").read_text() == store.get(KEY).content


def test_a_stage_that_needs_itself_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="stage SFT needs itself"):
        store.produce(KEY, lambda work: store.produce(KEY, Build(), label="SFT") and None, label="SFT")


def test_a_result_that_came_first_without_a_common_lock_is_taken(store: Store, tmp_path: Path) -> None:
    first = Store(tmp_path / "other").produce(KEY, Build(), label="SFT")

    def slow(work: Workspace) -> None:
        Build("others")(work)
        (store.root / "objects").mkdir()
        os.rename(first.path, store.root / "objects" / KEY.name)

    assert store.produce(KEY, slow, label="SFT").content == first.content
    assert store.verify() == []


def test_use_is_noted_where_possible(store: Store) -> None:
    found = store.produce(KEY, Build(), label="SFT")
    mark = store.root / "used" / KEY.name
    os.utime(mark, (0, 0))
    assert store.last_used(KEY.name).year == 1970
    store.get(KEY)
    assert store.last_used(KEY.name).year > 2000
    mark.unlink()
    mark.parent.rmdir()
    mark.parent.write_text("in the way")
    assert store.get(KEY) == found
    assert store.last_used(KEY.name) is None


def test_the_root_may_start_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert Store("~/store").root == tmp_path / "store"


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "store").touch()
    with pytest.raises(StoreError, match="store is a file, not a store"):
        Store(tmp_path / "store")


def test_iteration_is_oldest_first_and_skips_the_unreadable(store: Store) -> None:
    keys = [StageKey("sft", {"n": n}) for n in range(4)]
    for key in keys:
        store.produce(key, Build(), label="SFT")
    for seconds, key in enumerate(reversed(keys)):
        _redate(store.root / "objects" / key.name, seconds)
    _lose_manifest(store.get(keys[0]))
    assert [found.key for found in store] == [keys[3], keys[2], keys[1]]


def _redate(folder: Path, seconds: int) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["seal"]
    manifest["created"] = f"2024-01-01T00:00:0{seconds}+00:00"
    manifest["seal"] = artefacts._seal(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
