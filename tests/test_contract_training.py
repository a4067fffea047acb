"""Every installed method trains: what it may move, to the same bits when stopped, whatever the cut, on its own data."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import small
import torch
from contract import job_of, trained_methods
from small import F64

from alignlab import registry
from alignlab.compose import composed
from alignlab.config import TrainerConfig, preset_config, typed
from alignlab.errors import DataError, TrainingError
from alignlab.method import PAIR_MODULE, Data, resolve
from alignlab.numerics.logps import PairLogps
from alignlab.stages import training
from alignlab.stages.graph import Graph
from alignlab.stages.store import Store

each_method = pytest.mark.parametrize("name", trained_methods())
paired = [name for name in trained_methods() if registry.method(name).objective]
STOPPED = 1
"""Batches done when a run is stopped."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store, so that methods share their stages."""
    return tmp_path_factory.mktemp("store")


Ended = tuple[dict[str, torch.Tensor], dict[str, Any]]
"""Weights of everything that a module trains or keeps, and the work that was counted."""


def trained(name: str, store: Path, work: Path, *, stop: int | None = None) -> Ended:
    """What a training ends with, stopped after some batches or not."""
    _, job = job_of(name, store, "algo.warmup=0", "algo.batch_size=48", steps=3)
    data = job.data()
    module = job.method.load_module()(job.config, job.parts(total=len(data.train_dataloader())))
    if stop is not None:
        step = module.training_step

        def stopping(batch: Any, batch_idx: int) -> None:
            if batch_idx == stop:
                raise KeyboardInterrupt
            step(batch, batch_idx)

        module.training_step = stopping
    work.mkdir(exist_ok=True)
    config = TrainerConfig(accelerator="cpu", checkpoint_seconds=0)
    spent = training.fit(module, data, training.Job(name, work, config, job.seeds)).work
    counted = {what: count for what, count in spent.record().items() if what != "peak_memory_bytes"}
    return {key: value.detach().clone() for key, value in module.state_dict().items()}, counted


@pytest.mark.slow
@each_method
def test_a_stopped_run_goes_on_to_the_same_bits_and_counts(name: str, store: Path, tmp_path: Path) -> None:
    whole, counted = trained(name, store, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(name, store, tmp_path / "stopped", stop=STOPPED)
    resumed, recounted = trained(name, store, tmp_path / "stopped")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())
    assert counted == recounted
    assert min(counted["flops"], counted["steps"], counted["samples"], sum(counted["backward_tokens"].values())) > 0
    assert bool(counted["sampled_tokens"]) is registry.method(name).needs.rollouts


@pytest.mark.slow
@each_method
def test_the_size_of_micro_batches_changes_rounding_only(
    name: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away from policy = reference, where some losses have a kink that rounding falls off on either side."""
    for place in ("gates", "rollouts"):
        monkeypatch.setattr(f"alignlab.modules.{place}.disagreement", lambda *given, **more: "")
    found = []
    for micro in (0, 3):
        _, job = job_of(name, store, f"trainer.micro_batch_size={micro}", "algo.max_grad_norm=0")
        batch = next(iter(job.data().train_dataloader()))
        module = job.method.load_module()(job.config, job.parts(total=10))
        module.to(F64)
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in module.parts.model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        small.fit(module, [batch])
        found.append(small.gradients(module))
    whole, cut = found
    assert whole.keys() == cut.keys()
    assert any(float(value.abs().max()) > 0 for value in whole.values()), "nothing was trained"
    for key, value in whole.items():
        scale = float(value.abs().max()) + 1e-8
        torch.testing.assert_close(cut[key] / scale, value / scale, rtol=0, atol=1e-4, msg=f"{name}: {key}")


def extreme(value: float) -> PairLogps:
    """Pairs on either side of what anyone will meet, each with gradient."""
    rows = torch.tensor([[-value, -1.0], [-1.0, -value], [-value, -value], [-1.0, -1.0]], dtype=torch.float32)
    chosen, rejected = (column.clone().requires_grad_() for column in rows.unbind(-1))
    return PairLogps(chosen, rejected, torch.full((4,), 9.0), torch.full((4,), 4.0))


@pytest.mark.parametrize("value", [1e2, 1e4])
@pytest.mark.parametrize("name", [name for name in paired if registry.method(name).module == PAIR_MODULE])
def test_objectives_are_finite_far_away(name: str, value: float) -> None:
    method, config = registry.method(name), preset_config(name)
    loss = resolve(method.objective, name)
    asked = inspect.signature(loss).parameters.values()
    settings = {p.name: getattr(config, p.name) for p in asked if p.kind is p.KEYWORD_ONLY and hasattr(config, p.name)}
    policy = extreme(value)
    reference = PairLogps(*(column.detach().flip(0) for column in policy))
    given = (policy, reference)[: sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in asked)]
    context = {}
    if method.couple:
        couple = resolve(method.couple, name)
        known = {p: getattr(config, p) for p in inspect.signature(couple).parameters if hasattr(config, p)}
        context = couple(*given, **known)
    found = loss(*given, **settings, **context)
    assert torch.isfinite(found.loss).all()
    found.loss.sum().backward()
    for side in (policy.chosen, policy.rejected):
        assert side.grad is None or torch.isfinite(side.grad).all()


@pytest.mark.slow
@each_method
def test_weights_that_are_no_number_stop_the_run_before_they_spread(name: str, store: Path) -> None:
    _, job = job_of(name, store)
    batch = next(iter(job.data().train_dataloader()))
    module = job.method.load_module()(job.config, job.parts(total=10))
    with torch.no_grad():
        next(module.parts.model.parameters()).fill_(torch.nan)
    with pytest.raises(TrainingError):
        small.fit(module, [batch])


@each_method
def test_data_of_the_wrong_kind_is_refused_before_any_stage(name: str, tmp_path: Path) -> None:
    """Demonstrations say nothing about which reply is better, and nothing here can ask anyone."""
    rows = [{"prompt": f"what is {n}", "completion": f"it is {n}"} for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    needs = registry.method(name).needs
    words = ("data=files", f"data.path={tmp_path / 'rows.jsonl'}", "model=hf", f"model.path={tmp_path}")
    asked = ("annotator=policy",) if needs.data is Data.REVISIONS else ()  # who revises needs no labels
    settings = typed(composed([f"algo={name}", *words, *asked, f"store={tmp_path / 'store'}"]))
    if needs.scorers or needs.data in (Data.PAIRS, Data.LABELS, Data.SAFETY):
        with pytest.raises(DataError, match=f"{name} needs preferences, and data=files holds only demonstrations"):
            Graph(settings, quiet=True)
    else:
        assert Graph(settings, quiet=True).method.name == name
    assert {artefact.kind for artefact in Store(tmp_path / "store")} == {"rows"}


@each_method
def test_at_most_one_class_stands_between_lightning_and_a_method(name: str) -> None:
    line = registry.method(name).load_module().__mro__
    between = line[1 : line.index(L.LightningModule)]
    assert len(between) <= 1, f"{name}: {[each.__name__ for each in between]}"
