"""A declared pair objective with its settings: what any regime needs to turn log-probabilities into a loss.

The objective itself is a pure function of a plugin. Here stands what composes with every one of them: soft labels,
length normalisation and truncation, the weight of on-policy pairs, an SFT term. Offline, online and iterative
methods all call the same object, so a modifier is written once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from alignlab.data.batch import Sequences
from alignlab.errors import PluginError
from alignlab.method import PAIR_MODULE, Method, PairConfig, resolve
from alignlab.models.policy import TokenOutputs
from alignlab.numerics.logps import PairLogps, sequence_logps
from alignlab.numerics.preference import PairTerms


class PairObjective:
    """Loss of each pair from token log-probabilities of rows [chosen; rejected]."""

    def __init__(self, method: Method, config: PairConfig) -> None:
        what = f"method {method.name!r}"
        self.config = config
        self._loss, self.referenced, asked = _bound(resolve(method.objective, what), config)
        self._couple = _bound(resolve(method.couple, what), config)[0] if method.couple else None
        if asked and self._couple is None and method.module == PAIR_MODULE:
            raise PluginError(
                f"{what}: {method.objective} asks for {asked[0]!r}, which is no setting", "add it to its config"
            )

    @property
    def coupled(self) -> bool:
        """Whether the loss of a pair depends on the other pairs of its batch."""
        return self._couple is not None

    def logps(self, token_logps: Tensor, sequences: Sequences) -> PairLogps:
        """Log-probabilities of both completions: (2B, T) of rows [chosen; rejected] -> PairLogps of (B,)."""
        mask = sequences.completion
        lengths = mask.sum(-1)
        weights = mask
        if self.config.tail_weight < 1:
            shorter = torch.minimum(*lengths.chunk(2)).repeat(2)[:, None]
            tail = torch.full_like(token_logps, self.config.tail_weight)
            weights = torch.where(mask.cumsum(-1) <= shorter, torch.ones_like(tail), tail) * mask
        summed = sequence_logps(token_logps, weights)
        pair = PairLogps(*summed.chunk(2), *lengths.to(summed.dtype).chunk(2))
        return pair.averaged if self.config.length_normalised else pair

    def couple(self, policy: PairLogps, reference: PairLogps | None) -> Mapping[str, Tensor]:
        """What the loss of each pair must know of the whole batch, (B,) each."""
        assert self._couple is not None
        found: Mapping[str, Tensor] = self._couple(*self._given(policy, reference))
        return found

    def __call__(
        self,
        outputs: TokenOutputs,
        reference: Tensor | None,
        sequences: Sequences,
        probability: Tensor | None = None,
        context: Mapping[str, Tensor] | None = None,
    ) -> PairTerms:
        """Loss and implicit margin of each pair, (B,).

        outputs, reference (2B, T) of rows [chosen; rejected]; `probability` P(chosen preferred), (B,), None for 1;
        `context` what `couple` gave, for these rows.
        """
        policy = self.logps(outputs.logps, sequences)
        fixed = None if reference is None or not self.referenced else self.logps(reference, sequences)
        terms = self.terms(policy, fixed, probability, context or {})
        loss = terms.loss
        if self.config.on_policy_weight:
            loss = loss * on_policy_weight(outputs, sequences)
        if self.config.sft_weight:
            loss = loss + self.config.sft_weight * _imitation(outputs.logps, sequences, probability)
        return PairTerms(loss, terms.implicit_margin.detach())

    def terms(
        self, policy: PairLogps, reference: PairLogps | None, probability: Tensor | None, context: Mapping[str, Tensor]
    ) -> PairTerms:
        """The loss, averaged over both orders of a pair where its label is soft."""
        terms: PairTerms = self._loss(*self._given(policy, reference), **context)
        if probability is None:
            return terms
        swapped = self._given(policy.swapped, None if reference is None else reference.swapped)
        other: PairTerms = self._loss(*swapped, **_swapped(context))
        return PairTerms(probability * terms.loss + (1 - probability) * other.loss, terms.implicit_margin)

    def _given(self, policy: PairLogps, reference: PairLogps | None) -> tuple[PairLogps, ...]:
        if not self.referenced:
            return (policy,)
        if reference is None:
            raise PluginError(
                "the objective reads a reference that its method does not declare",
                "write Needs(reference=Reference.LOGPS) in its Method",
            )
        return (policy, reference)


def _swapped(context: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Further arguments of an objective for the opposite preference: `chosen_…` and `rejected_…` change places."""
    sides = {"chosen": "rejected", "rejected": "chosen"}
    split = {name: name.partition("_") for name in context}
    if any(side not in sides for side, _, _ in split.values()):
        raise PluginError(
            "soft labels have no meaning for an objective that compares pairs of a batch", "use hard labels"
        )
    return {name: context[f"{sides[side]}_{rest}"] for name, (side, _, rest) in split.items()}


def _bound(function: Callable[..., Any], config: PairConfig) -> tuple[Callable[..., Any], bool, list[str]]:
    """The function with its settings filled in, whether it reads a reference, and what else it asks for."""
    parameters = inspect.signature(function).parameters.values()
    named = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    settings = {name: getattr(config, name) for name in named if hasattr(config, name)}
    positional = sum(each.kind is each.POSITIONAL_OR_KEYWORD for each in parameters)
    asked = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY and each.name not in settings]
    return lambda *pairs, **context: function(*pairs, **settings, **context), positional == 2, asked


@torch.no_grad()
def on_policy_weight(outputs: TokenOutputs, sequences: Sequences) -> Tensor:
    """Weight of each pair by how typical both completions are of the policy, (B,) in [0, 1] (WPO).

        w(y) = exp(mean_t [log pi(y_t) - log sum_v pi(v)^2]),    weight = min(w(y_w) w(y_l), 1)

    Eq. 2 and §3.2 of arXiv 2406.11827; the bound at 1 is that of the authors' code.
    """
    assert outputs.collision is not None
    mask = sequences.completion
    typical = sequence_logps(outputs.logps - outputs.collision, mask) / mask.sum(-1)
    chosen, rejected = typical.chunk(2)
    return (chosen + rejected).exp().clamp_max(1)


def _imitation(token_logps: Tensor, sequences: Sequences, probability: Tensor | None) -> Tensor:
    """Mean negative log-likelihood a token of the preferred completion, (B,) (arXiv 2404.19733, eq. 1)."""
    mask = sequences.completion
    chosen, rejected = (-sequence_logps(token_logps, mask) / mask.sum(-1)).chunk(2)
    return chosen if probability is None else probability * chosen + (1 - probability) * rejected
