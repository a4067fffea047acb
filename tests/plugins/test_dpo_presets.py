"""Every preset of DPO against what it claims to be, computed token by token."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from alignlab.plugins.dpo import METHOD
from alignlab.plugins.dpo.config import DPOConfig
from small import fit, gpt2, pair_module, pairs

from alignlab import registry
from alignlab.compose import composed
from alignlab.config import typed
from alignlab.method import Reference
from alignlab.models.policy import Policy
from alignlab.modules.objective import PairObjective

Tokens = list[float]
Ratios = tuple[Tokens, Tokens]
"""log pi / ref of every token of chosen and of rejected."""


def settings(preset: str, *overrides: str) -> DPOConfig:
    """The preset itself, without values tuned for a source of data."""
    elsewhere = ("data=files", "data.path=x", "model=hf", "model.path=x")
    return typed(composed([f"algo={preset}", *elsewhere, *overrides])).algo


def log_loss(z: float) -> float:
    return math.log1p(math.exp(-z))


def mean(values: Tokens) -> float:
    return sum(values) / len(values)


def cut(rho: Ratios, weight: float) -> list[float]:
    shared = min(len(side) for side in rho)
    return [sum(side[:shared]) + weight * sum(side[shared:]) for side in rho]


def lead(sides: list[float]) -> float:
    return sides[0] - sides[1]


LOSSES: dict[str, Callable[[Ratios], float]] = {
    "dpo": lambda rho: log_loss(0.1 * lead([sum(side) for side in rho])),
    "cdpo": lambda rho: 0.9 * log_loss(0.1 * lead(cut(rho, 1))) + 0.1 * log_loss(-0.1 * lead(cut(rho, 1))),
    "dpo_norm": lambda rho: log_loss(5.0 * lead([mean(side) for side in rho])),
    "ld_dpo": lambda rho: log_loss(0.1 * lead(cut(rho, 0.5))),
    "dpo_trl": lambda rho: log_loss(0.1 * lead(cut(rho, 1))),
    "dpo_openrlhf": lambda rho: log_loss(0.1 * lead(cut(rho, 1))),
    "dpo_open_instruct": lambda rho: log_loss(5.0 * lead([mean(side) for side in rho])),
    "dpo_nemo": lambda rho: log_loss(0.05 * lead(cut(rho, 1))),
    "wpo": lambda rho: log_loss(0.01 * lead(cut(rho, 1))),
    "rpo": lambda rho: log_loss(0.1 * lead(cut(rho, 1))),
    "tr_dpo": lambda rho: log_loss(0.05 * lead(cut(rho, 1))),
    "tr_dpo_hard": lambda rho: log_loss(0.05 * lead(cut(rho, 1))),
}


def test_every_preset_is_tried() -> None:
    assert {preset for preset, method in registry.presets().items() if method == "dpo"} == set(LOSSES)


@pytest.mark.parametrize("preset", LOSSES)
def test_loss_is_what_the_preset_says(preset: str) -> None:
    policy, reference = Policy(gpt2()), Policy(gpt2(1))
    batch = pairs(6, 0, reference)
    rows, mask = batch.sequences, batch.sequences.completion
    ratio = policy(rows).logps - batch.reference
    config = settings(preset)
    outputs = policy(rows, collision=config.on_policy_weight)
    found = PairObjective(registry.method("dpo"), config)(outputs, batch.reference, rows).loss.tolist()
    logps, rho = ([row[kept].tolist() for row, kept in zip(each, mask, strict=True)] for each in (outputs.logps, ratio))
    expected = [LOSSES[preset]((rho[i], rho[6 + i])) for i in range(6)]
    if preset == "rpo":
        expected = [value - mean(logps[i]) for i, value in enumerate(expected)]
    if preset == "wpo":
        squared = policy.model(input_ids=rows.ids).logits.softmax(-1).square().sum(-1)
        before = mask.roll(-1, 1)  # the position that predicts a token stands before it
        likely = [row[kept].log().tolist() for row, kept in zip(squared, before, strict=True)]
        typical = [mean(row) - mean(norm) for row, norm in zip(logps, likely, strict=True)]
        expected = [value * min(1.0, math.exp(typical[i] + typical[6 + i])) for i, value in enumerate(expected)]
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("preset", "kept"), [("dpo", Reference.LOGPS), ("tr_dpo", Reference.MODEL)])
def test_only_a_reference_that_moves_is_a_model_in_memory(preset: str, kept: Reference) -> None:
    assert settings(preset).needs(METHOD.needs).reference is kept


@pytest.mark.parametrize(("preset", "mix"), [("tr_dpo", 0.6), ("tr_dpo_hard", 1.0)])
def test_the_reference_follows_the_policy(preset: str, mix: float) -> None:
    policy, start, reference = Policy(gpt2()), Policy(gpt2()), Policy(gpt2())
    batch = pairs(6, 0, start)
    config = settings(preset, "algo.reference_every=1", "algo.lr=1e-2", "algo.warmup=0")
    log = fit(pair_module("dpo", config, policy, reference=reference, total=1), [batch])
    assert log[0]["train/loss"] == pytest.approx(math.log(2), abs=1e-14)
    for own, new, old in zip(reference.parameters(), policy.parameters(), start.parameters(), strict=True):
        assert (own - (mix * new + (1 - mix) * old)).abs().max() < 1e-14
    assert any(not own.equal(old) for own, old in zip(reference.parameters(), start.parameters(), strict=True))
