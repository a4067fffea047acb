"""What composes with every pair objective: soft labels, length, tails, on-policy weights, an SFT term, a moving one."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from alignlab.plugins.dpo.config import DPOConfig
from alignlab.plugins.simpo.config import SimPOConfig
from small import F64, fit, gpt2, pair_module, pairs, weights

from alignlab import registry
from alignlab.config import preset_config
from alignlab.errors import ConfigError, PluginError
from alignlab.method import PairConfig, Reference
from alignlab.models.frozen import Moving
from alignlab.models.policy import Policy
from alignlab.modules.objective import PairObjective, on_policy_weight

BETA = 0.3


def scored(seed: int = 1, rows: int = 5) -> tuple[Any, Any, Any]:
    """A policy's outputs on pairs, another model's log-probabilities as the reference, and the pairs."""
    policy, reference = Policy(gpt2(0)), Policy(gpt2(1))
    batch = pairs(rows, seed, reference)
    with torch.no_grad():
        return policy(batch.sequences, collision=True), batch.reference, batch


def terms(config: PairConfig, probability: torch.Tensor | None = None, name: str = "dpo") -> Any:
    outputs, reference, batch = scored()
    return PairObjective(registry.method(name), config)(outputs, reference, batch.sequences, probability)


def tokens(values: torch.Tensor, batch: Any) -> list[list[float]]:
    return [row[mask].tolist() for row, mask in zip(values, batch.sequences.completion, strict=True)]


def by_hand(reduce: Any) -> list[float]:
    """Log-ratio margins with a reduction of token log-probabilities, in plain Python."""
    outputs, reference, batch = scored()
    own, other = tokens(outputs.logps, batch), tokens(reference, batch)
    n = len(batch)
    found = []
    for i in range(n):
        w, l_ = i, i + n
        ratio = [reduce(side[w], side[l_]) for side in (own, other)]
        found.append((ratio[0][0] - ratio[0][1]) - (ratio[1][0] - ratio[1][1]))
    return found


def logistic(margins: list[float]) -> list[float]:
    return [math.log1p(math.exp(-BETA * margin)) for margin in margins]


def test_soft_labels_are_the_expected_loss_over_both_orders() -> None:
    p = torch.tensor([1.0, 0.8, 0.5, 0.6, 0.9], dtype=F64)
    margins = by_hand(lambda w, l_: (sum(w), sum(l_)))
    expected = [
        q * right + (1 - q) * wrong
        for q, right, wrong in zip(p.tolist(), logistic(margins), logistic([-m for m in margins]), strict=True)
    ]
    found = terms(DPOConfig(beta=BETA), p)
    assert found.loss.tolist() == pytest.approx(expected, abs=1e-12)
    assert found.implicit_margin.tolist() == pytest.approx([BETA * m for m in margins], abs=1e-12)


def test_length_normalisation_takes_means_of_both_models() -> None:
    margins = by_hand(lambda w, l_: (sum(w) / len(w), sum(l_) / len(l_)))
    found = terms(DPOConfig(beta=BETA, length_normalised=True))
    assert found.loss.tolist() == pytest.approx(logistic(margins), abs=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_tokens_past_the_shorter_completion_weigh_less(alpha: float) -> None:
    """Eq. 9 of arXiv 2409.06411, for policy and reference alike."""

    def reduce(w: list[float], l_: list[float]) -> tuple[float, float]:
        m = min(len(w), len(l_))
        return tuple(sum(side[:m]) + alpha * sum(side[m:]) for side in (w, l_))

    found = terms(DPOConfig(beta=BETA, tail_weight=alpha))
    assert found.loss.tolist() == pytest.approx(logistic(by_hand(reduce)), abs=1e-12)


def test_context_of_one_side_changes_places_with_it() -> None:
    """TDPO's divergences belong to a completion; what compares pairs of a batch has no opposite."""
    outputs, reference, batch = scored()
    objective = PairObjective(registry.method("tdpo"), preset_config("tdpo", beta=BETA))
    kl = {"chosen_kl": torch.rand(5, dtype=F64), "rejected_kl": torch.rand(5, dtype=F64)}
    n = len(batch)
    order = torch.arange(2 * n).roll(n)
    other = outputs._replace(logps=outputs.logps[order], collision=outputs.collision[order])
    sides = {"chosen_kl": kl["rejected_kl"], "rejected_kl": kl["chosen_kl"]}
    right = objective(outputs, reference, batch.sequences, context=kl).loss
    wrong = objective(other, reference[order], batch.sequences.select(order), context=sides).loss
    p = torch.full((n,), 0.7, dtype=F64)
    soft = objective(outputs, reference, batch.sequences, p, kl).loss
    torch.testing.assert_close(soft, 0.7 * right + 0.3 * wrong, rtol=0, atol=1e-12)


def test_soft_labels_have_no_meaning_where_pairs_are_compared() -> None:
    outputs, reference, batch = scored()
    objective, p = PairObjective(registry.method("aot"), preset_config("aot")), torch.full((5,), 0.7, dtype=F64)
    pair = objective.logps(outputs.logps, batch.sequences), objective.logps(reference, batch.sequences)
    with pytest.raises(PluginError, match="soft labels have no meaning"):
        objective(outputs, reference, batch.sequences, p, objective.couple(*pair))


def test_on_policy_weight_by_enumeration_of_the_vocabulary() -> None:
    outputs, _, batch = scored()
    logits = Policy(gpt2(0)).completion_logits(batch.sequences).detach()
    typical, place = [], 0
    for mask, ids in zip(batch.sequences.completion, batch.sequences.ids, strict=True):
        total = 0.0
        for token in ids[mask].tolist():
            probabilities = [math.exp(v) for v in logits[place].log_softmax(-1).tolist()]
            total += math.log(probabilities[token]) - math.log(sum(q * q for q in probabilities))
            place += 1
        typical.append(total / int(mask.sum()))
    n = len(batch)
    expected = [min(1.0, math.exp(typical[i] + typical[i + n])) for i in range(n)]
    assert on_policy_weight(outputs, batch.sequences).tolist() == pytest.approx(expected, abs=1e-12)
    plain, weighed = terms(DPOConfig(beta=BETA)), terms(DPOConfig(beta=BETA, on_policy_weight=True))
    assert weighed.loss.tolist() == pytest.approx([a * b for a, b in zip(plain.loss.tolist(), expected, strict=True)])
    assert torch.equal(weighed.implicit_margin, plain.implicit_margin)


@pytest.mark.parametrize("p", [None, 0.7])
def test_sft_term_is_the_mean_likelihood_of_the_preferred_completion(p: float | None) -> None:
    outputs, _, batch = scored()
    own, n = tokens(outputs.logps, batch), len(batch)
    means = [-sum(row) / len(row) for row in own]
    soft = 1.0 if p is None else p
    expected = [2.0 * (soft * means[i] + (1 - soft) * means[i + n]) for i in range(n)]
    labels = None if p is None else torch.full((n,), p, dtype=F64)
    gap = terms(DPOConfig(beta=BETA, sft_weight=2.0), labels).loss - terms(DPOConfig(beta=BETA), labels).loss
    assert gap.tolist() == pytest.approx(expected, abs=1e-12)


def test_a_reference_free_objective_ignores_the_reference() -> None:
    outputs, reference, batch = scored()
    objective = PairObjective(registry.method("simpo"), SimPOConfig())
    assert not objective.referenced
    found = [objective(outputs, given, batch.sequences).loss for given in (reference, None)]
    assert torch.equal(*found)


def test_a_reference_that_is_missing_is_named() -> None:
    outputs, _, batch = scored()
    with pytest.raises(PluginError, match=re.escape("write Needs(reference=Reference.LOGPS) in its Method")):
        PairObjective(registry.method("dpo"), DPOConfig())(outputs, None, batch.sequences)


def test_an_argument_that_is_no_setting_is_named() -> None:
    with pytest.raises(PluginError, match=r"dpo_loss asks for 'beta', which is no setting"):
        PairObjective(registry.method("dpo"), PairConfig(method="dpo", name="dpo"))


def test_corrections_for_length_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="both correct for length"):
        DPOConfig(length_normalised=True, tail_weight=0.5)


@pytest.mark.parametrize(("mix", "every"), [(1.0, 1), (0.25, 2)])
def test_a_moving_reference_follows_the_policy(mix: float, every: int) -> None:
    policy, start = Policy(gpt2()), weights(gpt2())
    config = DPOConfig(beta=BETA, lr=1e-2, warmup=0.0, reference_every=every, reference_mix=mix)
    module = pair_module("dpo", config, policy, reference=Policy(gpt2()), total=2)
    seen: list[dict[str, torch.Tensor]] = []
    moved = module.moving.follow

    def spy(model: Any, share: float) -> None:
        seen.append(weights(model.model))
        moved(model, share)

    module.moving.follow = spy
    batch = pairs(6)
    fit(module, [batch, batch])
    assert len(seen) == 2 // every
    expected = start
    for at in seen:
        expected = {name: mix * at[name] + (1 - mix) * value for name, value in expected.items()}
    for name, value in weights(module.moving.model.model).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-12, msg=name)


def test_a_moving_reference_stays_frozen_and_is_saved() -> None:
    module = pair_module("dpo", DPOConfig(reference_every=2), Policy(gpt2()), reference=Policy(gpt2()))
    module.train()
    assert isinstance(module.moving, Moving)
    assert not module.moving.training
    assert not any(parameter.requires_grad for parameter in module.moving.parameters())
    assert [name for name in module.state_dict() if name.startswith("moving.")]
    assert len(module.configure_optimizers().param_groups) == 1


def test_a_reference_that_moves_is_a_model_in_memory() -> None:
    declared = registry.method("dpo").needs
    assert DPOConfig().needs(declared).reference is Reference.LOGPS
    assert DPOConfig(reference_every=5).needs(declared).reference is Reference.MODEL
    with pytest.raises(ConfigError, match=r"algo\.reference_every=5 moves a reference, and simpo has none"):
        SimPOConfig(reference_every=5).needs(registry.method("simpo").needs)
