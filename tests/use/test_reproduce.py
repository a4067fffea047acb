"""`reproduce`: the same row again, what counts as the same, and what cannot be run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from alignlab.__main__ import main
from alignlab.recorded import read_record
from alignlab.reproduced import Comparison, Verdict, compare, show, verdict


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Callable[[], Path]:
    """Another copy of the finished run."""

    def made() -> Path:
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        shutil.copytree(home / "runs" / "dpo", folder)
        return folder

    return made


def edit(folder: Path, key: str, value: Any, file: str = "config.yaml") -> Path:
    """Change one value of a recorded file."""
    if file.endswith(".json"):
        content = json.loads((folder / file).read_text())
        *sections, name = key.split(" ")
        node = content
        for section in sections:
            node = node[section]
        node[name] = value
        (folder / file).write_text(json.dumps(content))
    else:
        content = OmegaConf.load(folder / file)
        OmegaConf.update(content, key, value, force_add=True)
        OmegaConf.save(content, folder / file)
    return folder


def reworded(folder: Path) -> Path:
    """Change the text of the third reply."""
    lines = (folder / "samples.jsonl").read_text().splitlines()
    row = json.loads(lines[2])
    row["text"] += " more"
    lines[2] = json.dumps(row)
    (folder / "samples.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def compared(then: Path, now: Path, tolerance: float = 1e-6) -> Comparison:
    return compare(read_record(then), read_record(now), tolerance)


@pytest.mark.slow
def test_a_run_comes_out_the_same_to_the_last_bit(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "runs/dpo/result.json"]) == 0
    out = capsys.readouterr().out
    assert "the same to the last bit" in out
    assert "trained weights" in out
    assert "samples.jsonl: all 20 replies identical" in out
    assert "differs" not in out
    [folder] = (here / "runs" / "reproduced").iterdir()
    assert (folder / "result.json").is_file(), "the second run stays, its store does not"
    assert read_record(folder).command == "python -m alignlab reproduce runs/dpo/result.json"
    assert max(map(len, out.partition("figure  ")[2].splitlines())) <= 80


def fake(monkeypatch: pytest.MonkeyPatch, result: Path) -> list[Any]:
    """Replace the second run by files that are there."""
    asked: list[Any] = []

    def run(settings: Any, folder: Path, *, overrides: Any = (), group: str = "") -> None:
        asked.append(settings)
        Path(settings.store).mkdir(parents=True, exist_ok=True)
        shutil.copytree(result, folder)

    monkeypatch.setattr("alignlab.run.run", run)
    return asked


def test_what_differs_is_named_and_its_stages_are_kept(
    copy: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    then = edit(copy(), "config.tracking.kind", "wandb")
    asked = fake(monkeypatch, reworded(edit(copy(), "metrics eval/gold", 0.5, "result.json")))
    assert main(["reproduce", str(then)]) == 1
    out, err = capsys.readouterr()
    gold = next(line for line in out.splitlines() if "eval/gold" in line)
    assert gold.split()[2:] == ["0.5", "differs"]
    assert "samples.jsonl: 1 of 20 replies differ (first: attempt 0 at prompt" in out
    assert "NOT the same, though versions, processor and threads are the same: 1 figures differ" in out
    assert asked[0].tracking.kind == "csv", "a repetition is nobody's new row"
    [store] = (tmp_path / "runs" / "reproduced").glob("*-store")
    assert f"kept in {Path('runs/reproduced') / store.name}" in err
    assert asked[0].store == f"runs/reproduced/{store.name}"


def test_the_store_of_a_faithful_repetition_goes(
    copy: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = fake(monkeypatch, copy())
    assert main(["reproduce", str(copy())]) == 0
    assert not Path(asked[0].store).exists()
    assert main(["reproduce", str(copy()), "--store", "mine"]) == 0
    assert (asked[1].store, Path("mine").is_dir()) == ("mine", True)
    (tmp_path / "mine" / "objects" / "policy-0").mkdir(parents=True)
    assert main(["reproduce", str(copy()), "--store", "mine", "--fresh"]) == 2


def test_other_versions_are_allowed_a_tolerance_and_named_first(
    copy: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    then = copy()
    gold = json.loads((then / "result.json").read_text())["metrics"]["eval/gold"]
    close = reworded(edit(copy(), "metrics eval/gold", gold * (1 + 1e-8), "result.json"))
    assert not compared(then, close).same, "equal surroundings must give equal bits"
    edit(close, "versions.torch", "9.9")
    edit(close, "machine.threads", 64)
    found = compared(then, close)
    assert found.same
    assert not found.bits
    assert set(found.surroundings) == {"torch", "threads"}
    show(found)
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("torch: ")
    assert out[1] == "threads: 1 then, 64 now"
    assert "every figure within 1e-06, where torch, threads differ" in out[-1]
    assert not compared(then, close, tolerance=1e-12).same


def test_figures_missing_on_one_side_differ(copy: Callable[[], Path]) -> None:
    more = edit(copy(), "metrics eval/new", 1.0, "result.json")
    for pair in ((copy(), more), (more, copy())):
        found = compared(*pair)
        assert [line.name for line in found.lines if line.verdict is Verdict.DIFFERS] == ["eval/new"]
        assert not found.same


def test_times_do_not_count_and_weights_do(copy: Callable[[], Path]) -> None:
    later = edit(copy(), "costs seconds", 1e6, "result.json")
    assert compared(copy(), later).bits
    other = edit(copy(), "fingerprints policy_content", "0" * 64, "result.json")
    assert not compared(copy(), other).bits
    (other / "metrics.csv").write_text((other / "metrics.csv").read_text().replace("0.", "1.", 1))
    assert any(line.section == "curve" and line.verdict is Verdict.DIFFERS for line in compared(copy(), other).lines)


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (1.0, 1.0, "identical"),
        (None, None, "identical"),
        (1e6, 1e6 + 0.5, "within tolerance"),
        (0.0, 5e-7, "within tolerance"),
        (0.0, 5e-6, "differs"),
        (None, 0.0, "differs"),
        (True, False, "differs"),
        ("a", "b", "differs"),
    ],
)
def test_verdicts(then: Any, now: Any, expected: str) -> None:
    assert verdict(then, now, 1e-6).value == expected


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("config.algo.method", "absent_method", "absent_method"),
        ("config.data.size", "medium", "is no longer what"),
        ("config.algo.gone", 1, "recorded setting algo.gone no longer exists"),
    ],
)
def test_what_cannot_be_run_again(
    copy: Callable[[], Path], key: str, value: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", str(edit(copy(), key, value))]) == 2
    assert message in capsys.readouterr().err


def test_a_run_that_never_finished(copy: Callable[[], Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder = copy()
    (folder / "result.json").unlink()
    assert main(["reproduce", str(folder)]) == 2
    assert "that run never finished" in capsys.readouterr().err
    assert main(["reproduce", str(folder / "nowhere")]) == 2
    assert main(["reproduce"]) == 2
    assert main(["reproduce", str(folder), "--tolerance", "-1"]) == 2
