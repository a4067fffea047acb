"""Density ratios of BCO against the conditions their logistic regression must meet, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from alignlab.plugins.bco.config import BCOConfig
from alignlab.plugins.bco.density import density_ratios, prompt_states, rows_once
from alignlab.plugins.bco.module import BCOModule
from labelled import labels
from small import fit, gpt2, parts

from alignlab.data.batch import LabelBatch
from alignlab.data.loader import Batches
from alignlab.errors import DataError
from alignlab.models.policy import Policy
from alignlab.seeding import Seeds

F64 = torch.float64


def test_log_ratios_are_the_odds_of_a_balanced_ridge_regression() -> None:
    """Linear in the standardised feature, with slope and height at which the penalised likelihood is stationary."""
    xs, good = [0.0, 1.0, 1.5, 2.0, 4.0], [False, True, False, True, True]
    found = density_ratios(torch.tensor(xs, dtype=F64)[:, None], torch.tensor(good)).log().tolist()
    mean = sum(xs) / 5
    spread = math.sqrt(sum((x - mean) ** 2 for x in xs) / 5)
    z = [(x - mean) / spread for x in xs]
    slope = (found[1] - found[2]) / (z[1] - z[2])  # rows within the bounds
    height = found[1] - slope * z[1]
    pull = [0.0, 0.0]
    for each, is_good in zip(z, good, strict=True):
        y, share = (1, 3) if is_good else (-1, 2)
        weight = 5 / (2 * share) * y / (1 + math.exp(y * (slope * each + height)))
        pull = [pull[0] + weight * each, pull[1] + weight]
    assert pull == pytest.approx([slope, 0.0], abs=1e-6)
    assert slope > 0.1
    expected = [min(max(math.exp(slope * each + height), 0.5), 10) for each in z]
    assert density_ratios(torch.tensor(xs, dtype=F64)[:, None], torch.tensor(good)).tolist() == pytest.approx(expected)


def test_prompts_met_equally_often_under_both_verdicts_weigh_one() -> None:
    torch.manual_seed(0)
    features = torch.randn(6, 4, dtype=F64)
    verdicts = torch.tensor([True] * 18 + [False] * 6)
    found = density_ratios(features.repeat(4, 1), verdicts)
    torch.testing.assert_close(found, torch.ones(24, dtype=F64), rtol=0, atol=1e-9)


def test_ratios_are_clipped_and_the_same_bits_each_time() -> None:
    torch.manual_seed(0)
    verdicts = torch.arange(40) % 2 == 0
    features = torch.randn(40, 3, dtype=F64) + 9 * verdicts[:, None]
    found = density_ratios(features, verdicts)
    assert (found.min().item(), found.max().item()) == (0.5, 10.0)
    assert torch.equal(found, density_ratios(features, verdicts))
    constant = torch.cat([features, torch.ones(40, 1, dtype=F64)], -1)
    torch.testing.assert_close(density_ratios(constant, verdicts), found)


def test_one_verdict_alone_is_refused() -> None:
    with pytest.raises(DataError, match=r"all 3 labels have the same verdict.*\n.*density_ratio=false"):
        density_ratios(torch.zeros(3, 2, dtype=F64), torch.ones(3, dtype=torch.bool))


def test_states_are_means_over_the_prompt_alone() -> None:
    policy = Policy(gpt2())
    sequences = labels(5).sequences
    found = prompt_states(policy, sequences)
    for row, (prompt, _) in enumerate(sequences.split()):
        hidden = policy.model(torch.tensor([prompt]), output_hidden_states=True).hidden_states[-1][0]
        torch.testing.assert_close(found[row], hidden.mean(0).detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rows", "size"), [(5, 2), (4, 2), (3, 8)])
def test_every_row_is_met_once(rows: int, size: int) -> None:
    whole = labels(rows)
    stream = Batches(list(range(rows)), lambda _, index: whole.select(index), size, seeds=Seeds(0), steps=1 << 20)
    batches = list(rows_once(stream.batch))
    assert sorted(torch.cat([batch.index for batch in batches]).tolist()) == list(range(rows))
    for batch in batches:
        for place, row in enumerate(batch.index.tolist()):
            assert batch.sequences.split()[place] == whole.sequences.split()[row]
            assert batch.desirable[place] == whole.desirable[row]


@pytest.mark.parametrize("micro", [0, 2])
def test_undesirable_rows_weigh_what_their_prompt_does(micro: int) -> None:
    policy, rows = Policy(gpt2()), 6
    whole = labels(rows, 0, policy)
    stream = Batches(list(range(rows)), lambda _, index: labels(rows).select(index), 4, seeds=Seeds(1), steps=1 << 20)
    given = parts(policy, micro=micro, auxiliary=lambda step, rank=0, world=1: stream.batch(step))
    module = BCOModule(BCOConfig(density_ratio=True), given)
    expected = density_ratios(prompt_states(policy, whole.sequences), whole.desirable)
    batch = whole.select(torch.tensor([5, 0, 2]))
    log = fit(module, [LabelBatch(batch.index, batch.sequences, batch.desirable, batch.reference)])[0]
    torch.testing.assert_close(module.ratios, expected, rtol=1e-6, atol=0)
    weights = [expected[5].item(), 1.0, expected[2].item()]
    assert batch.desirable.tolist() == [False, True, False]
    assert log["train/loss"] == pytest.approx(sum(weights) / 3 * math.log(2), abs=1e-6)
