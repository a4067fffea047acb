from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from alignlab.plugins.best_of_n.config import BestOfNConfig
from alignlab.plugins.best_of_n.curve import expected_best
from alignlab.plugins.best_of_n.sampler import BestOfNSampler, choose, kl_bound
from sampling_parts import PROMPTS, Favourite, same, sample, sampling_parts
from small import F64, gpt2

from alignlab.data.batch import pad
from alignlab.errors import ConfigError, TrainingError
from alignlab.models.policy import Policy
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts


def sampler(n: int, reward: Any = None, **settings: Any) -> BestOfNSampler:
    given = sampling_parts(Policy(gpt2()), reward=reward or Favourite(), **settings)
    return BestOfNSampler(BestOfNConfig(n=n), given)


def scores(rollouts: Rollouts) -> torch.Tensor:
    return Favourite().score(rollouts, None)


def test_one_sample_is_the_policys_own() -> None:
    one = sampler(1)
    assert one.kl_bound == 0
    assert same(sample(one), one.engine.sample(PROMPTS, Noise(3, torch.arange(4))))


def test_more_candidates_never_score_less_and_contain_those_of_fewer() -> None:
    found = torch.stack([scores(sample(sampler(n))) for n in (1, 2, 4, 8)])
    assert (found.diff(dim=0) >= 0).all()
    assert (found[-1] > found[0]).any()


def test_candidates_differ_from_each_other_and_from_row_to_row() -> None:
    seen: list[list[list[int]]] = []

    class Watch(Favourite):
        def score(self, rollouts: Rollouts, prompts: Any) -> torch.Tensor:
            seen.append(rollouts.completions())
            return super().score(rollouts, prompts)

    best = sample(sampler(6, Watch(), new_tokens=8))
    assert len({tuple(rows[0]) for rows in seen}) == 6
    assert [rows[0] != rows[2] for rows in seen].count(True) == 6  # the same prompt, other numbers
    for row, reply in enumerate(best.completions()):
        assert reply == max((rows[row] for rows in seen), key=Favourite().of)


def test_the_first_of_equals_is_kept() -> None:
    class Indifferent:
        def score(self, rollouts: Rollouts, prompts: Any) -> torch.Tensor:
            return torch.zeros(rollouts.rows)

    assert same(sample(sampler(5, Indifferent())), sample(sampler(1)))


def test_a_reward_that_is_no_number_stops_the_run() -> None:
    class Broken:
        def score(self, rollouts: Rollouts, prompts: Any) -> torch.Tensor:
            return torch.tensor([0.0, 1.0, math.nan, 0.0])

    with pytest.raises(TrainingError, match="prompt 2 is not finite"):
        sample(sampler(2, Broken()))


def test_chosen_rows_keep_all_that_is_known_of_them() -> None:
    short, long = pad([([1], [2]), ([1, 1], [3, 4])], 0), pad([([1], [5, 6, 7, 8]), ([1, 1], [9])], 0)
    rows = [Rollouts(each, -each.ids.double() * each.completion, torch.tensor(end)) for each, end in
            ((short, [True, False]), (long, [False, True]))]  # fmt: skip
    first = choose(torch.tensor([True, True]), *rows)
    assert same(first, rows[0])
    mixed = choose(torch.tensor([False, True]), *rows)
    assert mixed.completions() == [[5, 6, 7, 8], [3, 4]]
    assert mixed.logps.sum(-1).tolist() == [-26, -7]
    assert mixed.ended.tolist() == [False, False]


@pytest.mark.parametrize("n", [1, 2, 4, 16, 256])
def test_kl_of_a_reward_without_ties_is_the_bound(n: int) -> None:
    """KL of the best of n uniform numbers, density n u^(n-1), by the midpoint rule."""
    u = (torch.arange(400_000, dtype=F64) + 0.5) / 400_000
    density = n * u ** (n - 1)
    assert kl_bound(n) == pytest.approx(float((density * density.clamp_min(1e-300).log()).mean()), abs=1e-4)


@pytest.mark.parametrize(("n", "exact"), [(2, 0.1308), (4, 0.4594)])
def test_kl_with_ties_is_below_the_bound(n: int, exact: float) -> None:
    """Two replies, each half the time: the better one is kept with probability 1 - 2^-n."""
    worse = 0.5**n
    kl = worse * math.log(2 * worse) + (1 - worse) * math.log(2 * (1 - worse))
    assert kl == pytest.approx(exact, abs=1e-4)
    assert kl < kl_bound(n)


def by_hand(reward: list[float], value: list[float], n: int) -> float:
    """Over every subset, the mean value of those that share its highest reward."""
    bests = []
    for subset in itertools.combinations(range(len(reward)), n):
        top = max(reward[i] for i in subset)
        winners = [value[i] for i in subset if reward[i] == top]
        bests.append(sum(winners) / len(winners))
    return sum(bests) / len(bests)


@pytest.mark.parametrize("reward", [[0.3, -1, 2, 0.1, 5, 4], [1, 0, 1, 0, 1, 2], [2, 2, 1, 1, 0, 0], [7] * 6])
@pytest.mark.parametrize("n", range(1, 7))
def test_expected_best_is_the_mean_over_all_subsets(reward: list[float], n: int) -> None:
    value = [0.5, -0.25, 3.0, 1.0, -2.0, 0.125]
    found = expected_best(torch.tensor([reward, reward[::-1]]), torch.tensor([value, value]), n)
    expected = [by_hand(reward, value, n), by_hand(reward[::-1], value, n)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=F64))


def test_expected_best_does_not_depend_on_the_order_of_samples() -> None:
    draw = torch.Generator().manual_seed(0)
    reward, value = torch.randint(4, (9,), generator=draw).double(), torch.randn(9, generator=draw, dtype=F64)
    order = torch.randperm(9, generator=draw)
    torch.testing.assert_close(expected_best(reward, value, 4), expected_best(reward[order], value[order], 4))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="best of 3 cannot be estimated from 2"):
        expected_best(torch.zeros(2), torch.zeros(2), 3)
    with pytest.raises(ConfigError, match=r"algo\.n must lie in \[1, inf\), got 0"):
        BestOfNConfig(n=0)
    with pytest.raises(NotImplementedError, match="kl_bound"):
        sampler(2).completion_logits(pad([([1], [2])], 0))
