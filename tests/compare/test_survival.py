"""Survival of turns against scipy's Kaplan-Meier estimate, hand values, and the ends where Greenwood has no width."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from alignlab.compare.survival import kaplan_meier
from alignlab.errors import DataError


def sample(size: int = 80) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    breach, end = rng.geometric(0.2, size), rng.integers(2, 9, size)
    return np.minimum(breach, end), breach <= end


def test_survival_and_intervals_are_those_of_scipy() -> None:
    turns, breached = sample()
    found = kaplan_meier(turns, breached)
    data = stats.CensoredData(uncensored=turns[breached], right=turns[~breached])
    reference = stats.ecdf(data).sf
    assert found.survival == pytest.approx(reference.evaluate(np.array(found.turns)))
    ends = reference.confidence_interval(0.95, method="log-log")
    where = np.array(found.breaches) > 0
    assert np.array(found.low)[where] == pytest.approx(ends.low.evaluate(np.array(found.turns)[where]))
    assert np.array(found.high)[where] == pytest.approx(ends.high.evaluate(np.array(found.turns)[where]))


def test_a_hand_value_of_four_conversations() -> None:
    """Breaches at 1 and 3, one left at 2 unbroken, one at 3: S = 3/4, 3/4, 3/4 * 1/2."""
    found = kaplan_meier([1, 2, 3, 3], [True, False, True, False])
    assert found.survival == pytest.approx((0.75, 0.75, 0.375))
    assert found.hazard == pytest.approx((0.25, 0.0, 0.5))
    assert found.at_risk == (4, 3, 2)
    assert found.breaches == (1, 0, 1)
    assert found.censored == (0, 1, 1)
    error = math.sqrt(1 / (4 * 3)) / abs(math.log(0.75))
    assert found.low[0] == pytest.approx(0.75 ** math.exp(1.959964 * error), rel=1e-6)


def test_where_nothing_or_everything_broke_intervals_keep_a_width() -> None:
    held = kaplan_meier([3] * 20, [False] * 20)
    assert held.survival == (1.0, 1.0, 1.0)
    assert held.low[-1] == pytest.approx(0.025 ** (1 / 20))
    assert held.high[-1] == 1.0
    fell = kaplan_meier([1] * 20, [True] * 20)
    assert fell.survival == (0.0,)
    assert fell.low == (0.0,)
    assert fell.high[0] == pytest.approx(1 - 0.025 ** (1 / 20))


def test_intervals_cover_a_known_law() -> None:
    """Hazard 0.15 a turn, eight turns: S(4) = 0.85^4."""
    rng, truth, hits = np.random.default_rng(0), 0.85**4, 0
    for _ in range(1000):
        breach = rng.geometric(0.15, 60)
        found = kaplan_meier(np.minimum(breach, 8), breach <= 8)
        hits += found.low[3] <= truth <= found.high[3]
    assert 0.93 < hits / 1000 < 0.97


def test_several_conversations_about_a_goal_are_no_more_evidence() -> None:
    """Four copies of each conversation: the interval stays as wide as that of one each, by goals."""
    turns, breached = sample(60)
    one = kaplan_meier(turns, breached)
    copies = (np.repeat(each, 4) for each in (turns, breached, np.arange(60)))
    four = kaplan_meier(*(each.tolist() for each in copies))
    assert four.survival == pytest.approx(one.survival)
    widths = [np.subtract(each.high, each.low)[:4] for each in (one, four)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
    naive = kaplan_meier(np.repeat(turns, 4), np.repeat(breached, 4))
    assert (np.subtract(naive.high, naive.low)[:4] < 0.6 * widths[0]).all()


def test_goals_that_all_held_or_all_fell_count_once_each() -> None:
    goals = [goal for goal in range(20) for _ in range(4)]
    held = kaplan_meier([3] * 80, [False] * 80, goals)
    assert held.low[-1] == pytest.approx(0.025 ** (1 / 20))
    assert held.hazard_high[0] == pytest.approx(1 - 0.025 ** (1 / 20))
    fell = kaplan_meier([1] * 80, [True] * 80, goals)
    assert fell.high[0] == pytest.approx(1 - 0.025 ** (1 / 20))
    with pytest.raises(DataError, match="80 last turns and 3 goals"):
        kaplan_meier([1] * 80, [True] * 80, ["a", "a", "b"])


@pytest.mark.parametrize(("turns", "breached"), [([], []), ([1, 2], [True]), ([0], [True])])
def test_what_is_no_conversation_is_refused(turns: list[int], breached: list[bool]) -> None:
    with pytest.raises(DataError, match=r"last turns|ended at turn 0"):
        kaplan_meier(turns, breached)
