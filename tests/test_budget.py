"""Each axis of a budget stops training where it must, resumes exactly, and is refused where it means nothing."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from contract import job_of

from alignlab.compose import composed
from alignlab.config import TrainerConfig, typed
from alignlab.data.schema import Split
from alignlab.errors import ConfigError, TrainingError
from alignlab.method import TrainedConfig
from alignlab.modules.optimise import learning_rate
from alignlab.stages import metered, training
from alignlab.stages.metered import Spent
from alignlab.tracking.table import read_columns


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store, so that trainings share their stages."""
    return tmp_path_factory.mktemp("store")


def fitted(
    preset: str,
    store: Path,
    work: Path,
    *overrides: str,
    steps: int | None = None,
    stop: int | None = None,
    **more: Any,
) -> tuple[Spent, list[float], Any]:
    """What a training took, the learning rate of each update, and the module at its end."""
    _, job = job_of(preset, store, *overrides, steps=steps)
    data = job.data()
    parts = job.parts(total=len(data.train_dataloader()))
    module = job.method.load_module()(job.config, parts)
    rates: list[float] = []
    step = module.training_step

    def watching(batch: Any, batch_idx: int) -> None:
        if batch_idx == stop:
            raise KeyboardInterrupt
        step(batch, batch_idx)
        rates.append(module.optimizers().param_groups[0]["lr"])

    module.training_step = watching
    work.mkdir(exist_ok=True)
    config = TrainerConfig(**(dict(accelerator="cpu", checkpoint_seconds=0) | more))
    spent = training.fit(module, data, training.Job(preset, work, config, job.seeds, pace=parts.pace))
    return spent, rates, module


def test_steps_repeat_epochs_and_the_schedule_runs_over_them(store: Path, tmp_path: Path) -> None:
    spent, rates, module = fitted("dpo", store, tmp_path, "budget=steps", "budget.limit=17", "algo.warmup=0.25")
    assert (spent.work.steps, spent.batches) == (17, 17)
    assert spent.work.samples == 17 * 8  # of 100 pairs: the second pass has begun
    warmup = math.ceil(0.25 * 17)
    rising = [module.config.lr * (k + 1) / warmup for k in range(warmup)]
    falling = [module.config.lr * (1 - (k - warmup) / (17 - warmup)) for k in range(warmup, 17)]
    assert rates == pytest.approx([*rising, *falling])
    assert read_columns(tmp_path / "metrics.csv")["step"] == [0, 10, 16], "the last is logged"


def test_steps_end_in_the_middle_of_a_rollout(store: Path, tmp_path: Path) -> None:
    cut = ("algo.minibatches=2", "algo.rollout_epochs=2", "budget=steps", "budget.limit=6")
    spent, _, _ = fitted("ppo", store, tmp_path, *cut)
    assert (spent.work.steps, spent.batches, spent.work.samples) == (6, 2, 16)


def test_sampled_tokens_end_with_the_rollout_that_reaches_the_limit(store: Path, tmp_path: Path) -> None:
    """So small a learning rate leaves the first rollouts alike, whatever the schedule is."""
    still = ("algo.lr=1e-9", "algo.warmup=0")
    three, two = (fitted("grpo", store, tmp_path / f"{n}", *still, steps=n)[0].work.sampled_tokens for n in (3, 2))
    for limit, batches in ((two, 2), (two + 1, 3), (three, 3)):
        budget = ("budget=sampled_tokens", f"budget.limit={limit}")
        spent, rates, _ = fitted("grpo", store, tmp_path / f"limit{limit}", *still, *budget)
        assert (spent.batches, spent.work.sampled_tokens) == (batches, {2: two, 3: three}[batches])
        assert rates == sorted(rates, reverse=True)


def test_flops_end_with_the_batch_that_reaches_the_limit_and_drive_the_schedule(store: Path, tmp_path: Path) -> None:
    limit = 300_000_000
    spent, rates, module = fitted("dpo", store, tmp_path, "budget=flops", f"budget.limit={limit}", "algo.warmup=0.3")
    each = spent.work.flops / spent.batches
    assert limit <= spent.work.flops < limit + 1.5 * each
    assert rates[0] == pytest.approx(module.config.lr * each / (0.3 * limit), rel=0.3)
    assert max(rates) <= module.config.lr
    assert rates.index(max(rates)) == pytest.approx(0.3 * limit / each, abs=2)
    assert 0 < rates[-1] < 0.3 * module.config.lr


@pytest.mark.slow
@pytest.mark.parametrize("axis", ["steps=9", "flops=700_000_000", "sampled_tokens=300"])
def test_a_stopped_training_goes_on_to_the_same_bits_and_counts(axis: str, store: Path, tmp_path: Path) -> None:
    name, limit = axis.split("=")
    given = (f"budget={name}", f"budget.limit={limit}", "algo.warmup=0.2")
    whole, _, module = fitted("ppo", store, tmp_path / "whole", *given)
    assert whole.batches > 2
    for stop in (1, whole.batches - 1):
        with pytest.raises(KeyboardInterrupt):
            fitted("ppo", store, tmp_path / f"{stop}", *given, stop=stop)
        resumed, _, again = fitted("ppo", store, tmp_path / f"{stop}", *given)
        assert resumed.work.counts == whole.work.counts
        assert resumed.batches == whole.batches
        state = again.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs fork")
@pytest.mark.parametrize("preset", ["dpo", "ppo", "kto", "raft"])
def test_two_processes_count_what_one_counts(preset: str, store: Path, tmp_path: Path) -> None:
    cut = ("algo.batch_size=10", "algo.lr=1e-6")
    sole, _, _ = fitted(preset, store, tmp_path / "one", *cut, steps=2)
    both, _, _ = fitted(preset, store, tmp_path / "two", *cut, steps=2, devices=2, strategy="ddp_fork")
    assert both.work.counts == sole.work.counts
    assert both.work.parameters == sole.work.parameters
    assert both.work.peak_memory_bytes > 0


def test_labels_are_the_first_ones_of_method_and_reward_model(store: Path) -> None:
    graph, job = job_of("dpo", store, "budget.limit=30")
    every, all_pairs = job_of("dpo", store)
    assert graph.stored_pairs(Split.TRAIN) == every.stored_pairs(Split.TRAIN)[:30]
    assert len(job.data().rows) == 30
    assert len(all_pairs.data().rows) == len(every.stored_pairs(Split.TRAIN)) > 30
    assert graph.stored_pairs(Split.HELD_OUT) == every.stored_pairs(Split.HELD_OUT)
    assert graph.preferences.digest == every.preferences.digest
    assert graph.reward().digest != every.reward().digest
    assert graph.reward(Split.HELD_OUT).digest == every.reward(Split.HELD_OUT).digest
    labelled, rows = job_of("kto", store, "budget.limit=30")
    assert len(rows.data().rows) == 60
    assert labelled.reference_logps(rows.needs.data).info["rows"] == 60


def test_a_budget_changes_only_the_key_of_what_it_ends(store: Path) -> None:
    graph, job = job_of("dpo", store, "budget=steps", "budget.limit=3")
    every, free = job_of("dpo", store)
    assert job.key != free.key
    assert job.key.fields["budget"] == {"axis": "steps", "limit": 3}
    assert "budget" not in free.key.fields
    assert graph.reward().digest == every.reward().digest
    assert graph.sft.digest == every.sft.digest


def test_updates_that_never_come_are_said(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metered, "PATIENCE", 3)
    never = ("algo.keep=threshold", "algo.threshold=1e9", "budget=steps", "budget.limit=3")
    with pytest.raises(
        TrainingError, match="steps=3 is out of reach: 0 updates so far, and none in the last 3 batches"
    ):
        fitted("raft", store, tmp_path, *never, "rollout.max_new_tokens=1")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("algo=dpo budget=sampled_tokens budget.limit=9", "dpo samples nothing while it trains: budget=sampled_tokens"),
        ("algo=best_of_n budget=steps budget.limit=9", "best_of_n acts at inference and trains nothing: budget=steps"),
        ("algo=dera budget=flops budget.limit=9", "dera acts at inference and trains nothing: budget=flops"),
        ("algo=dpo budget=flops", r"budget=flops has no limit to stop at|budget\.limit has no value"),
        ("algo=dpo budget.limit=0.5", r"budget\.limit must lie in \[1, inf\), got 0\.5"),
        ("algo=dpo budget=steps budget.limit=1.5", r"budget\.limit=1\.5 is no whole number of steps"),
        ("algo=dpo budget.axis=minutes", "minutes"),
    ],
)
def test_refusals_name_the_reason_before_anything_is_loaded(words: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        typed(composed(words.split()))


def test_the_schedule_in_another_unit_is_the_schedule() -> None:
    """Ten updates of 7 FLOPs each, warm-up over a fifth."""
    config = TrainedConfig(method="x", name="x", lr=0.5, warmup=0.2, schedule="cosine")
    by_steps = [learning_rate(config, k, 10) for k in range(10)]
    assert by_steps == pytest.approx([learning_rate(config, 7 * k, 70, 7) for k in range(10)])
