"""GRPO against plain loops: advantages of every kind, aggregations, KL in every place, and its kinship with others."""

from __future__ import annotations

import math
import re
import statistics
from typing import Any

import pytest
import torch
from alignlab.plugins.grpo.config import CHOICES, GRPOConfig
from alignlab.plugins.grpo.loss import (
    AGGREGATES,
    BASELINES,
    RATIOS,
    SPREADS,
    SURROGATES,
    batch_std,
    group_advantages,
    overlong,
    token_advantages,
)
from alignlab.plugins.grpo.module import GRPOModule
from doubles import rollouts
from online import LIMIT, Given, online, places, watched, weighted
from small import F64, fit, gpt2, gradients, weights

from alignlab.config import preset_config
from alignlab.errors import ConfigError
from alignlab.method import Data, Needs, Reference
from alignlab.models.policy import Policy
from alignlab.modules.rollouts import Chunk

SCORES = (1.0, -0.5, 0.25, 2.0, 2.0, 2.0, -1.0, 0.0, 3.0)  # three groups of three; the second is flat
TWIN = Policy(gpt2())


def config(**settings: Any) -> GRPOConfig:
    base = dict(group_size=3, batch_size=9, lr=1e-3, max_grad_norm=0.0, missing_end_penalty=0.0, std_eps=0.01)
    return GRPOConfig(**(base | settings))


def learner(
    policy: Policy, rows: int = 9, *, scores: tuple[float, ...] = SCORES, micro: int = 0, **settings: Any
) -> Any:
    total = settings.pop("total", 1)
    more = dict(reference=None) if settings.get("kl_place") == "none" else {}
    return online(
        GRPOModule,
        config(**settings),
        policy,
        rollouts(TWIN, rows),
        micro=micro,
        total=total,
        reward=Given(*scores),
        **more,
    )


def advantages_by_loop(scores: tuple[float, ...], baseline: str, std: str, eps: float) -> list[float]:
    found = []
    for start in range(0, len(scores), 3):
        group = scores[start : start + 3]
        for i, score in enumerate(group):
            rest = [value for j, value in enumerate(group) if j != i]
            mean = statistics.fmean(group if baseline == "mean" else rest)
            spread = {"group": group, "leave_one_out": rest, "batch": scores, "none": ()}[std]
            deviation = statistics.stdev(spread) if spread else 0.0
            found.append((score - mean) / (deviation + eps) if deviation else score - mean)
    return found


@pytest.mark.parametrize("baseline", CHOICES["baseline"])
@pytest.mark.parametrize("std", CHOICES["advantage_std"])
def test_advantages_are_those_of_a_loop(baseline: str, std: str) -> None:
    rewards = torch.tensor(SCORES, dtype=F64).view(3, 3)
    found = group_advantages(rewards, baseline=baseline, advantage_std=std, std_eps=0.01)
    torch.testing.assert_close(
        found.flatten(), torch.tensor(advantages_by_loop(SCORES, baseline, std, 0.01), dtype=F64), rtol=0, atol=1e-13
    )


def test_the_deviation_of_the_batch_is_over_all_processes() -> None:
    rewards = torch.tensor(SCORES, dtype=F64)
    twice = batch_std(rewards, total=lambda part: 2 * part)
    assert twice.item() == pytest.approx(statistics.stdev(SCORES * 2), abs=1e-13)


@pytest.mark.parametrize("place", CHOICES["kl_place"])
def test_kl_is_paid_where_it_is_said_to_be(place: str) -> None:
    torch.manual_seed(0)
    mask = torch.tensor([[0, 1, 1, 1], [0, 1, 0, 0], [0, 1, 1, 0]])
    kl = torch.randn(3, 4, dtype=F64)
    settings = dict(group_size=3, beta=0.2, kl_place=place, baseline="mean", advantage_std="none", std_eps=0.0)
    found = token_advantages(torch.tensor([1.0, 2.0, -3.0], dtype=F64), kl, mask, **settings)
    paid = [0.2 * sum(kl[b, t].item() for t in range(4) if mask[b, t]) for b in range(3)]
    rewards = [r - (p if place == "reward" else 0) for r, p in zip([1.0, 2.0, -3.0], paid, strict=True)]
    for b in range(3):
        for t in range(4):
            to_go = 0.2 * sum(kl[b, s].item() for s in range(t, 4) if mask[b, s]) if place == "advantage" else 0
            expected = rewards[b] - statistics.fmean(rewards) - to_go if mask[b, t] else 0.0
            assert found[b, t].item() == pytest.approx(expected, abs=1e-14)


AGGREGATIONS = {
    "sequence": lambda tokens, rows, length: 1 / (rows * length),
    "token": lambda tokens, rows, length: 1 / tokens,
    "constant": lambda tokens, rows, length: 1 / (rows * LIMIT),
}


@pytest.mark.parametrize("aggregate", CHOICES["aggregate"])
@pytest.mark.parametrize("surrogate", CHOICES["surrogate"])
@pytest.mark.parametrize("ratio", CHOICES["ratio"])
@pytest.mark.parametrize("micro", [0, 2])
def test_first_gradient_is_that_of_reinforce_with_the_group_as_baseline(
    aggregate: str, surrogate: str, ratio: str, micro: int
) -> None:
    """While the ratio is 1 every surrogate is A log pi; token and sequence ratio differ in how lengths weigh."""
    policy = Policy(gpt2())
    module, batch = learner(policy, micro=micro, aggregate=aggregate, surrogate=surrogate, ratio=ratio)
    seen = watched(module)
    log = fit(module, [batch])[0]
    sequences, advantages = seen[0].sequences, advantages_by_loop(SCORES, "mean", "group", 0.01)
    columns = places(sequences)
    tokens, expected = sum(map(len, columns)), []
    for row, columns_of_row in enumerate(columns):
        share = AGGREGATIONS[aggregate](tokens, 9, len(columns_of_row))
        expected += [(row, token, advantages[row] * share) for token in columns_of_row]
    found = gradients(module.policy)
    for name, gradient in weighted(sequences, expected).items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-12, msg=name)
    assert log["train/clip_fraction"] == 0
    assert log["train/kl_loss"] == pytest.approx(0, abs=1e-12)
    assert log["train/flat_groups"] == pytest.approx(1 / 3)


VARIANTS = [
    dict(),
    dict(kl_weight="ratio", kl_estimator="k1", aggregate="token"),
    dict(aggregate="token", clip_high=0.28, zero_std="drop", kl_place="none", overlong_penalty=0.5),
    dict(ratio="sequence", clip_low=3e-3, clip_high=4e-3, kl_place="none"),
    dict(surrogate="cispo", aggregate="token", clip_low=1.0, clip_high=4.0),
    dict(
        baseline="leave_one_out", advantage_std="leave_one_out", kl_place="advantage", kl_estimator="k1", dual_clip=3.0
    ),
    dict(advantage_std="batch", kl_place="reward", aggregate="constant"),
]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant.values())))
def test_cutting_a_minibatch_changes_nothing(variant: dict[str, Any]) -> None:
    """Three updates on each of two rollouts, in float64."""
    after = []
    for micro in (0, 1, 4):
        module, batch = learner(Policy(gpt2()), micro=micro, total=2, minibatches=3, lr=3e-3, warmup=0.0, **variant)
        log = fit(module, [batch, batch])
        assert all(math.isfinite(value) for row in log for value in row.values())
        after.append(weights(module.policy))
    for other in after[1:]:
        for name, value in after[0].items():
            torch.testing.assert_close(other[name], value, rtol=0, atol=1e-9, msg=name)


@pytest.mark.parametrize("weight", CHOICES["kl_weight"])
def test_loss_of_a_policy_that_has_moved_is_that_of_a_loop(weight: str) -> None:
    policy, old, reference = (Policy(gpt2(seed)) for seed in (1, 0, 2))
    module, _ = learner(policy, beta=0.3, kl_weight=weight, clip_high=0.28)
    sequences = rollouts(TWIN, 9).sequences
    with torch.no_grad():
        new, before, fixed = (model(sequences).logps for model in (policy, old, reference))
    advantages = torch.tensor(SCORES, dtype=F64)[:, None] * sequences.completion
    known = dict(logps=before, reference=fixed, advantages=advantages)
    chunk = Chunk(sequences, known, sequences.completion.sum(), torch.tensor(9), False, torch.arange(9))
    loss, metrics = module._loss(chunk)
    expected, clipped = 0.0, 0
    for row, columns in enumerate(places(sequences)):
        for t in columns:
            q = math.exp((new[row, t] - before[row, t]).item())
            u = (new[row, t] - fixed[row, t]).item()
            k3 = (math.exp(-u) - 1 + u) * (q if weight == "ratio" else 1)
            gain = min(q * SCORES[row], min(max(q, 0.8), 1.28) * SCORES[row])
            expected -= (gain - 0.3 * k3) / len(columns) / 9
            clipped += not 0.8 <= q <= 1.28
    assert loss.item() == pytest.approx(expected, abs=1e-12)
    assert metrics["clip_fraction"].item() == pytest.approx(clipped / int(sequences.completion.sum()))
    assert clipped > 0


def test_groups_that_do_not_vary_are_left_out_of_the_mean_when_dropped() -> None:
    """Their advantage is 0 either way: what changes is the denominator."""
    grads, tokens = [], []
    for zero_std in ("keep", "drop"):
        module, batch = learner(Policy(gpt2()), aggregate="token", kl_place="none", zero_std=zero_std)
        seen = watched(module)
        fit(module, [batch])
        grads.append(gradients(module.policy))
        lengths = [len(columns) for columns in places(seen[0].sequences)]
        tokens.append(sum(lengths) if zero_std == "keep" else sum(lengths) - sum(lengths[3:6]))
    for name, gradient in grads[0].items():
        torch.testing.assert_close(grads[1][name], gradient * tokens[0] / tokens[1], rtol=0, atol=1e-12, msg=name)


@pytest.mark.parametrize("micro", [0, 1])
def test_a_rollout_of_flat_groups_alone_moves_nothing(micro: int) -> None:
    module, batch = learner(
        Policy(gpt2()), scores=(1.0,) * 9, micro=micro, aggregate="token", zero_std="drop", kl_place="none"
    )
    log = fit(module, [batch])[0]
    assert (log["train/loss"], log["train/grad_norm"], log["train/flat_groups"]) == (0, 0, 1)
    for name, value in weights(module.policy).items():
        assert torch.equal(value, weights(TWIN)[name])


def test_overlong_penalty_closed_form() -> None:
    found = overlong(torch.tensor([1, 8, 9, 10, 12]), limit=10, buffer=0.2)
    assert found.tolist() == pytest.approx([0, 0, 0.5, 1, 1])
    module, batch = learner(Policy(gpt2()), overlong_penalty=2.0, overlong_buffer=0.5, advantage_std="none")
    seen = watched(module)
    kept: dict[str, Any] = {}
    module.passes = lambda sequences, columns, *rest: kept.update(columns) or {}
    fit(module, [batch])
    lengths = [len(columns) for columns in places(seen[0].sequences)]
    rewards = [s - 2 * min(max((n - 3) / 3, 0), 1) for s, n in zip(SCORES, lengths, strict=True)]
    expected = advantages_by_loop(tuple(rewards), "mean", "none", 0.0)
    for row, columns in enumerate(places(seen[0].sequences)):
        assert kept["advantages"][row, columns].tolist() == pytest.approx([expected[row]] * len(columns), abs=1e-13)


def test_without_a_price_of_kl_no_reference_is_asked_for() -> None:
    declared = Needs(data=Data.PROMPTS, reference=Reference.MODEL, scorers=("reward",), rollouts=True)
    assert config(kl_place="none").needs(declared).reference is Reference.NONE
    assert all(config(kl_place=place).needs(declared) == declared for place in ("loss", "reward", "advantage"))
    module, batch = learner(Policy(gpt2()), kl_place="none")
    assert not {"train/kl", "train/kl_loss"} & set(fit(module, [batch])[0])


def test_every_name_has_a_function() -> None:
    tables = dict(aggregate=AGGREGATES, baseline=BASELINES, advantage_std=SPREADS, ratio=RATIOS, surrogate=SURROGATES)
    assert {name: tuple(table) for name, table in tables.items()} == {name: CHOICES[name] for name in tables}


PRESETS = {
    "grpo": ("sequence", "mean", "group", "token", "clipped", 0.2, 0.2, "loss"),
    "dr_grpo": ("constant", "mean", "none", "token", "clipped", 0.2, 0.2, "none"),
    "dapo": ("token", "mean", "group", "token", "clipped", 0.2, 0.28, "none"),
    "gspo": ("sequence", "mean", "group", "sequence", "clipped", 3e-4, 4e-4, "none"),
    "cispo": ("token", "mean", "group", "token", "cispo", 1.0, 4.0, "none"),
    "grpo_trl": ("token", "mean", "group", "token", "clipped", 0.2, 0.2, "none"),
    "grpo_verl": ("token", "mean", "group", "token", "clipped", 0.2, 0.2, "none"),
    "grpo_openrlhf": ("token", "mean", "group", "token", "clipped", 0.2, 0.2, "advantage"),
    "grpo_nemo": ("token", "leave_one_out", "leave_one_out", "token", "clipped", 0.2, 0.2, "loss"),
    "grpo_open_instruct": ("token", "mean", "none", "token", "clipped", 0.2, 0.272, "loss"),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_what_each_preset_stands_for(preset: str) -> None:
    names = ("aggregate", "baseline", "advantage_std", "ratio", "surrogate", "clip_low", "clip_high", "kl_place")
    found = preset_config(preset)
    assert tuple(getattr(found, name) for name in names) == PRESETS[preset]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(group_size=1), "algo.group_size must lie in [2, inf), got 1"),
        (
            dict(aggregate="mean"),
            "algo.aggregate must be sequence, token or constant, got 'mean'\n  remedy: pass",
        ),
        (dict(clip_low=1.5), "algo.clip_low must lie in (0, 1], got 1.5"),
        (dict(dual_clip=0.5), "algo.dual_clip must be above 1, or 0 to switch it off, got 0.5"),
        (dict(dual_clip=3.0, surrogate="cispo"), "algo.dual_clip=3.0 bounds the clipped objective"),
        (dict(group_size=2, batch_size=8, advantage_std="leave_one_out"), "algo.advantage_std=leave_one_out needs two"),
        (dict(kl_weight="ratio", kl_place="reward"), "algo.kl_weight=ratio weighs a KL in the loss"),
        (dict(zero_std="drop"), "algo.zero_std=drop leaves tokens out of a mean over tokens"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        config(**settings)
