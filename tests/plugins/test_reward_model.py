"""The reward model against its closed form."""

from __future__ import annotations

import math
import re

import pytest
import torch
from alignlab.plugins.reward_model.config import RewardModelConfig
from alignlab.plugins.reward_model.loss import reward_loss
from alignlab.plugins.reward_model.module import RewardModule
from small import fit, pairs, parts, scorer

from alignlab.errors import ConfigError

F64 = torch.float64
CHOSEN, REJECTED = [0.5, -1.0, 2.0], [0.1, 0.4, 2.0]


def tensor(values: list[float], *, grad: bool = False) -> torch.Tensor:
    return torch.tensor(values, dtype=F64, requires_grad=grad)


def by_hand(w: float, l_: float, p: float = 1.0, m: float = 0.0, c: float = 0.0) -> float:
    agree = 1 / (1 + math.exp(-(w - l_ - m)))
    return -p * math.log(agree) - (1 - p) * math.log(1 - agree) + c * (w + l_) ** 2


@pytest.mark.parametrize("p", [0.3, 1.0])
@pytest.mark.parametrize("m", [0.0, 1 / 3, 2.0])
@pytest.mark.parametrize("c", [0.0, 0.01])
def test_matches_closed_form(p: float, m: float, c: float) -> None:
    found = reward_loss(tensor(CHOSEN), tensor(REJECTED), probability=p, margin=m, centring=c)
    expected = [by_hand(w, l_, p, m, c) for w, l_ in zip(CHOSEN, REJECTED, strict=True)]
    assert found.tolist() == pytest.approx(expected, abs=1e-14)


def test_equal_scores_cost_log_two() -> None:
    assert reward_loss(tensor([3.0]), tensor([3.0])).item() == pytest.approx(math.log(2), abs=1e-15)


def test_centring_squares_the_sum_of_scores_and_leaves_opposite_ones_alone() -> None:
    found = reward_loss(tensor([1.0, 2.0]), tensor([-1.0, 1.0]), centring=0.5)
    plain = reward_loss(tensor([1.0, 2.0]), tensor([-1.0, 1.0]))
    assert (found - plain).tolist() == pytest.approx([0.0, 4.5], abs=1e-14)


def test_a_common_shift_changes_nothing_but_the_centring() -> None:
    moved = reward_loss(tensor(CHOSEN) + 5, tensor(REJECTED) + 5, margin=0.3)
    torch.testing.assert_close(moved, reward_loss(tensor(CHOSEN), tensor(REJECTED), margin=0.3), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("p", "m", "c"), [(1.0, 0.0, 0.0), (0.7, 0.5, 0.1)])
def test_gradient_closed_form(p: float, m: float, c: float) -> None:
    chosen, rejected = tensor(CHOSEN, grad=True), tensor(REJECTED, grad=True)
    reward_loss(chosen, rejected, probability=p, margin=m, centring=c).sum().backward()
    for i, (w, l_) in enumerate(zip(CHOSEN, REJECTED, strict=True)):
        likelihood = 1 / (1 + math.exp(-(w - l_ - m))) - p
        pull = 2 * c * (w + l_)
        assert chosen.grad[i].item() == pytest.approx(likelihood + pull, abs=1e-14)
        assert rejected.grad[i].item() == pytest.approx(-likelihood + pull, abs=1e-14)

    def of(w: torch.Tensor, l_: torch.Tensor) -> torch.Tensor:
        return reward_loss(w, l_, probability=p, margin=m, centring=c)

    assert torch.autograd.gradcheck(of, (chosen, rejected))


def test_a_margin_asks_for_more() -> None:
    d = tensor([-1.0, 0.0, 4.0])
    assert (reward_loss(d, torch.zeros_like(d), margin=1.0) > reward_loss(d, torch.zeros_like(d))).all()


@pytest.mark.parametrize("gap", [-1e4, 1e4])
def test_extreme_scores_stay_finite(gap: float) -> None:
    chosen = torch.tensor([gap], requires_grad=True)
    loss = reward_loss(chosen, torch.zeros(1), margin=1.0, centring=0.01, probability=0.9)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(chosen.grad).all()


def columns() -> dict[str, torch.Tensor]:
    nan = float("nan")
    return dict(margin=torch.tensor([0.5, nan, 2.0, 0.0]), probability=torch.tensor([1.0, 0.8, 0.6, 1.0]))


@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("centring", [0.0, 0.01])
def test_module_uses_stated_probabilities_and_known_margins(weight: float, centring: float) -> None:
    """A margin that is not known counts as 0; weight 0 ignores margins."""
    judge, batch = scorer(), pairs(4, 0, **columns())
    chosen, rejected = (side.tolist() for side in judge(batch.sequences).chunk(2))
    margins = [weight * (0.0 if math.isnan(m) else m) for m in batch.margin.tolist()]
    rows = list(zip(chosen, rejected, batch.probability.tolist(), margins, strict=True))
    settings = RewardModelConfig(margin=weight, centring=centring, batch_size=4)
    log = fit(RewardModule(settings, parts(judge, micro=3)), [batch])[0]
    assert log["train/loss"] == pytest.approx(sum(by_hand(*row, centring) for row in rows) / 4, abs=1e-6)
    assert log["train/accuracy"] == pytest.approx(sum(w > l_ for w, l_, *_ in rows) / 4)
    assert log["train/margin"] == pytest.approx(sum(w - l_ for w, l_, *_ in rows) / 4, abs=1e-6)
    assert log["samples"] == 4


def test_without_columns_every_label_is_certain_and_has_no_margin() -> None:
    judge, batch = scorer(), pairs(4)
    chosen, rejected = (side.tolist() for side in judge(batch.sequences).chunk(2))
    log = fit(RewardModule(RewardModelConfig(margin=1.0), parts(judge)), [batch])[0]
    expected = sum(map(by_hand, chosen, rejected)) / 4
    assert log["train/loss"] == pytest.approx(expected, abs=1e-6)


def test_the_head_and_the_trunk_both_learn() -> None:
    judge = scorer()
    before = {name: p.detach().clone() for name, p in judge.named_parameters()}
    fit(RewardModule(RewardModelConfig(lr=1e-2), parts(judge)), [pairs(4)])
    moved = {name for name, p in judge.named_parameters() if not torch.equal(p, before[name])}
    assert moved == set(before)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(margin=-0.5), "algo.margin must lie in [0, inf), got -0.5\n  remedy: Weight of the annotator's stated"),
        (dict(centring=-0.01), "algo.centring must lie in [0, inf), got -0.01"),
    ],
)
def test_settings_out_of_range_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        RewardModelConfig(**setting)
