"""Divergence between policy and reference: exact where the distributions are known, estimated where not."""

from __future__ import annotations

import torch
from torch import Tensor

from alignlab.numerics.logps import upcast


def exact_kl(logits: Tensor, reference_logits: Tensor) -> Tensor:
    """KL(policy || reference) of next-token distributions, in nats: (..., V), (..., V) -> (...)."""
    logp, ref = upcast(logits).log_softmax(-1), upcast(reference_logits).log_softmax(-1)
    return (logp.exp() * (logp - ref)).sum(-1)


def k1(logps: Tensor, reference_logps: Tensor) -> Tensor:
    """Unbiased, high variance; expected gradient zero as a loss. Shape of the inputs (Schulman 2020)."""
    return logps - reference_logps


def k2(logps: Tensor, reference_logps: Tensor) -> Tensor:
    """Biased value, low variance; as a sequence-level loss its gradient is that of KL(policy || reference)."""
    return (logps - reference_logps) ** 2 / 2


def k3(logps: Tensor, reference_logps: Tensor) -> Tensor:
    """Unbiased, non-negative; as a sequence-level loss its gradient is that of KL(reference || policy)."""
    ratio = reference_logps - logps
    return torch.expm1(ratio) - ratio


ESTIMATORS = {"k1": k1, "k2": k2, "k3": k3}
"""By the name that settings use."""


def importance_weighted(estimate: Tensor, logps: Tensor, old_logps: Tensor) -> Tensor:
    """An estimate of a token's KL times pi / pi_old, so that its expected gradient is that of its expectation.

        E_old[q k] = E_pi[k],   q = exp(log pi - log pi_old)

    Without the weight, k1 as a loss has no expected gradient and k3 has that of the reverse KL, since neither knows
    that the policy also draws the token. Of the token at each visited prefix; that the policy also chooses the
    prefixes stays ignored. Used with k3 in arXiv 2512.02556. Shapes of the inputs.
    """
    return (logps - old_logps).exp() * estimate
