"""What a plan lists: every stage that the run then computes, and none that it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import TINY

from alignlab.compose import composed
from alignlab.config import RunConfig, typed
from alignlab.launch.plan import stages
from alignlab.run import run
from alignlab.stages.artefact import Artefact

WORDS = (*TINY, "evaluation.frontier=4", "evaluation.best_of=2")


def settings(store: Path, *words: str) -> RunConfig:
    return typed(composed([*WORDS, f"store={store}", *words]))


def labels(store: Path, *words: str) -> list[str]:
    return [label for label, _ in stages(settings(store, *words))]


def test_a_plan_lists_what_the_run_computes(tmp_path: Path) -> None:
    """On an empty store everything is to be computed; after the run each stage is found, and no other was stored."""
    wanted = settings(tmp_path / "store", "algo=dpo", "algo.batch_size=16")
    before = stages(wanted)
    assert not any(isinstance(outcome, Artefact) for _, outcome in before)
    assert [label for label, _ in before][-2:] == ["best-of-n of SFT", "frontier of dpo"]
    run(wanted, tmp_path / "run")
    after = stages(wanted)
    assert [label for label, _ in after] == [label for label, _ in before]
    found = {outcome.path.name for _, outcome in after if isinstance(outcome, Artefact)}
    assert len(found) == len(after)
    assert {path.name for path in (tmp_path / "store" / "objects").iterdir() if _judges(path)} <= found


def _judges(path: Path) -> bool:
    return path.name.split("-")[0] in ("best_of", "frontier", "posture", "evaluation")


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (("algo=dpo", "evaluation.best_of=0"), "best-of-n of SFT"),
        (("algo=dpo", "evaluation.reward_models=false"), "best-of-n of SFT"),
        (("algo=dpo", "evaluation.frontier=0"), "frontier of dpo"),
        (("algo=dpo", "evaluation.temperature=0.5"), "frontier of dpo"),
        (("algo=best_of_n",), "frontier of best_of_n"),
        (("algo=sft", "algo.epochs=1"), "frontier of sft"),
    ],
)
def test_what_is_not_asked_for_is_not_planned(tmp_path: Path, words: tuple[str, ...], missing: str) -> None:
    found = labels(tmp_path, *words)
    assert missing not in found
    assert any(label.startswith("evaluation of") for label in found)
