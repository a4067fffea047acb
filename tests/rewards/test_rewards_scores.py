"""What each reward computes, against closed forms."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from rewards_doubles import DESK, PROMPTS, rollouts
from small import F64, scorer, texts
from torch import Tensor, nn

from alignlab.data.batch import pad
from alignlab.rewards.composite import CompositeReward
from alignlab.rewards.ensemble import Ensemble, EnsembleReward, combined
from alignlab.rewards.kinds import Combine, CompositeConfig, EnsembleConfig, LengthPenalisedConfig, RuleConfig
from alignlab.rewards.learned import LearnedReward
from alignlab.rewards.length_penalised import LengthPenalisedReward, length_price
from alignlab.rewards.rule import RuleReward
from alignlab.rollout.batch import Rollouts

SCORES = [[1.0, -2.0, 0.5], [3.0, -2.0, 0.25], [-1.0, -2.0, 4.0]]
"""Of three completions by three members, one member a row."""


def by_hand(column: list[float], combine: str, coef: float) -> float:
    mean = math.fsum(column) / len(column)
    variance = math.fsum((score - mean) ** 2 for score in column) / len(column)
    priced = {"uncertainty": math.sqrt(variance), "variance": variance, "mean": 0.0}
    return min(column) if combine == "minimum" else mean - coef * priced[combine]


@pytest.mark.parametrize("coef", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("combine", list(Combine))
def test_an_ensemble_combines_as_defined(combine: Combine, coef: float) -> None:
    scores = torch.tensor(SCORES, dtype=F64)
    expected = [by_hand(list(column), combine.value, coef) for column in zip(*SCORES, strict=True)]
    assert combined(scores, combine, coef).tolist() == pytest.approx(expected, abs=1e-14)
    assert torch.equal(combined(scores.flip(0), combine, coef), combined(scores, combine, coef))


@pytest.mark.parametrize("combine", list(Combine))
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e4])
def test_members_that_agree_are_one(combine: Combine, scale: float) -> None:
    scores = torch.tensor([[1.0, -1.0]] * 4, dtype=F64) * scale
    assert torch.equal(combined(scores, combine, 2.0), scores[0])


def test_a_price_of_zero_is_the_mean_and_two_members_one_deviation_below_are_the_minimum() -> None:
    scores = torch.tensor([[1.0, -2.5, 0.0], [4.0, 7.0, -0.5]], dtype=F64)
    assert torch.equal(combined(scores, Combine.uncertainty, 0.0), scores.mean(0))
    torch.testing.assert_close(combined(scores, Combine.uncertainty, 1.0), combined(scores, Combine.minimum, 0.0))


def random_rollouts(rows: int = 5) -> Rollouts:
    sequences = pad(texts(rows), 0)
    return Rollouts(sequences, torch.zeros(sequences.ids.shape), torch.ones(rows, dtype=torch.bool))


def test_an_ensemble_asks_every_member() -> None:
    members, given = [scorer(seed) for seed in (1, 2, 3)], random_rollouts()
    alone = [LearnedReward(scorer=member).score(given, []).tolist() for member in members]
    config = EnsembleConfig(combine=Combine.uncertainty, coef=0.5)
    found = EnsembleReward(config, scorers=members, source=None, tokenizer=None).score(given, [])
    expected = [by_hand(list(column), "uncertainty", 0.5) for column in zip(*alone, strict=True)]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)
    assert not found.requires_grad


def test_an_ensemble_is_called_like_one_scorer() -> None:
    whole = Ensemble([scorer(1), scorer(2)], Combine.minimum, 0.0)
    sequences = random_rollouts().sequences
    assert torch.equal(whole(sequences), torch.minimum(scorer(1)(sequences), scorer(2)(sequences)))


@pytest.mark.parametrize(("target", "expected"), [(0, [0.5, 1.5, 20.0]), (3, [0.0, 0.0, 18.5]), (100, [0.0] * 3)])
def test_tokens_beyond_the_target_cost(target: int, expected: list[float]) -> None:
    assert length_price(torch.tensor([1, 3, 40]), 0.5, target).tolist() == expected


def test_length_is_taken_from_the_learned_score() -> None:
    given, model = random_rollouts(), scorer(1)
    config = LengthPenalisedConfig(coef=0.25, target=2)
    found = LengthPenalisedReward(config, scorer=model, source=None, tokenizer=None).score(given, [])
    lengths = [len(reply) for _, reply in given.sequences.split()]
    learned = LearnedReward(scorer=model).score(given, []).tolist()
    expected = [r - 0.25 * max(0, n - 2) for r, n in zip(learned, lengths, strict=True)]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)
    assert max(lengths) > 2


def rules(*given: dict[str, Any]) -> RuleReward:
    return RuleReward(RuleConfig(rules=list(given)), tokenizer=DESK, source=None, scorer=None)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"pattern": "s(alt|ongs)", "weight": 0.5}, [0.5, 0.0, 0.5]),
        ({"pattern": "^red$", "weight": -2.0}, [0.0, -2.0, 0.0]),
        ({"pattern": "RED"}, [0.0, 0.0, 0.0]),
        ({"pattern": "(?i)RED"}, [0.0, 1.0, 0.0]),
        ({"ending": "you"}, [0.0, 0.0, 1.0]),
        ({"ending": "<end>"}, [0.0, 0.0, 0.0]),
        ({"max_tokens": 4, "weight": 3.0}, [3.0, 3.0, 0.0]),
    ],
    ids=str,
)
def test_a_rule_gives_its_weight_where_it_is_met(rule: dict[str, Any], expected: list[float]) -> None:
    assert rules(rule).score(rollouts(), PROMPTS).tolist() == expected


def test_rules_add_up_and_unfinished_replies_keep_their_text() -> None:
    both = rules({"ending": "you"}, {"max_tokens": 5, "weight": 0.5})
    assert both.score(rollouts((True, True, False)), PROMPTS).tolist() == [0.5, 0.5, 1.5]
    assert both.score(rollouts(), PROMPTS).tolist() == [0.5, 0.5, 1.0]


class Fixed(nn.Module):
    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = torch.tensor(scores, dtype=F64)

    def score(self, rollouts: Any, prompts: Any) -> Tensor:
        return self.scores


def test_a_composite_is_the_weighted_sum() -> None:
    config = CompositeConfig(parts=[{"kind": "learned", "weight": 2.0}, {"kind": "gold", "weight": -0.5}])
    found = CompositeReward(config, parts=[Fixed(1, 2, 3), Fixed(4, -4, 0)], source=None).score(None, [])  # type: ignore[arg-type]
    assert found.tolist() == [0.0, 6.0, 6.0]
