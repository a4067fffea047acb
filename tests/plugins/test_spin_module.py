"""SPIN's opponent over iterations and checkpoints, in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from alignlab.plugins.spin.config import SPINConfig
from alignlab.plugins.spin.module import SPINModule
from doubles import Replay, rollouts
from small import demonstrations, fit, gpt2, gradients, parts

from alignlab.data.batch import pad
from alignlab.models.policy import Policy
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts

BETA = 0.3


class Opponent:
    """An engine that keeps what it was asked for, and answers with ids that follow from prompt and noise."""

    def __init__(self, model: Policy) -> None:
        self.model, self.asked, self.seen = model, [], []

    def sample(self, prompts: list[list[int]], noise: Noise) -> Rollouts:
        self.asked.append((prompts, noise))
        self.seen.append({name: value.clone() for name, value in self.model.state_dict().items()})
        draws = noise.uniform(0).tolist()
        sequences = pad(
            [(ids, [int(13 * u), 1, 2][: 1 + len(ids) % 3]) for ids, u in zip(prompts, draws, strict=True)], 0
        )
        return Rollouts(sequences, torch.zeros(sequences.ids.shape), torch.ones(len(prompts), dtype=torch.bool))


def learner(policy: Policy, *, micro: int = 0, total: int = 1, **settings: Any) -> SPINModule:
    config = SPINConfig(**(dict(beta=BETA, max_grad_norm=0.0, warmup=0.0, lr=1e-2) | settings))
    more = dict(reference=Policy(gpt2()), objective=("spin", config), micro=micro, total=total)
    return SPINModule(config, parts(policy, new_engine=lambda model, temperature: Opponent(model), **more))


@pytest.mark.parametrize("micro", [0, 1, 3])
def test_first_step_has_loss_log_two_and_half_beta_times_the_difference_of_gradients(micro: int) -> None:
    policy, other = Policy(gpt2()), Policy(gpt2())
    batch = demonstrations(5)
    module = learner(policy, micro=micro)
    log = fit(module, [batch])[0]
    prompts, noise = module.opponent.asked[0]
    assert prompts == [prompt for prompt, _ in batch.sequences.split()]
    assert noise.rows.tolist() == [0, 1, 2, 3, 4]
    sampled = Opponent(other).sample(prompts, noise).sequences
    gap = other(batch.sequences).logps.sum(-1) - other(sampled).logps.sum(-1)
    (-BETA / 2 * gap.mean()).backward()
    assert log["train/loss"] == pytest.approx(math.log(2), abs=1e-14)
    expected = gradients(other)
    for name, gradient in gradients(policy).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-12, msg=name)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("every", [0, 2])
def test_opponent_and_reference_are_the_policy_at_the_start_of_the_iteration(every: int) -> None:
    policy = Policy(gpt2())
    module = learner(policy, total=5, reference_every=every)
    starts: list[dict[str, torch.Tensor]] = []
    step = module.training_step

    def spy(batch: Any, batch_idx: int) -> None:
        starts.append({name: value.clone() for name, value in policy.state_dict().items()})
        step(batch, batch_idx)

    module.training_step = spy
    log = fit(module, [demonstrations(5, seed) for seed in range(5)])
    begun = [0, 0, 2, 2, 4] if every else [0] * 5
    assert all(same(seen, starts[at]) for seen, at in zip(module.opponent.seen, begun, strict=True))
    assert not same(starts[2], starts[0])
    margins = [abs(row["train/margin"]) for row in log]
    assert [margin < 1e-12 for margin in margins] == [True, False, bool(every), False, bool(every)]
    seeds = [noise.seed for _, noise in module.opponent.asked]
    assert len(set(seeds)) == 5


def test_an_opponent_that_moves_is_part_of_checkpoints_and_goes_on_from_them() -> None:
    policy = Policy(gpt2())
    module = learner(policy, total=3, reference_every=2)
    fit(module, [demonstrations(5, seed) for seed in range(3)])
    state = module.state_dict()
    assert {name.split(".")[0] for name in state} == {"policy", "moving"}
    fresh = learner(Policy(gpt2()), reference_every=2)
    fresh.load_state_dict(state)
    assert same(fresh.opponent.model.state_dict(), module.opponent.model.state_dict())
    assert not same(fresh.opponent.model.state_dict(), policy.state_dict())
    assert {name.split(".")[0] for name in learner(policy, reference_every=0).state_dict()} == {"policy"}


def test_samples_that_repeat_the_demonstrations_teach_nothing() -> None:
    policy = Policy(gpt2())
    batch = demonstrations(6)
    config = SPINConfig(beta=BETA)
    echo = rollouts(policy, 6)._replace(sequences=batch.sequences)
    more = dict(reference=Policy(gpt2()), objective=("spin", config))
    module = SPINModule(config, parts(policy, new_engine=lambda model, temperature: Replay(echo), **more))
    assert fit(module, [batch])[0]["train/loss"] == pytest.approx(math.log(2), abs=1e-14)
    for gradient in gradients(policy).values():
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-13)
