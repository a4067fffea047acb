"""How much likelier a prompt is among desirable rows than among undesirable ones, by logistic regression.

Fitted in float64 on the CPU by full-batch L-BFGS from 0, so that the same rows give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import torch
from torch import Tensor
from torch.nn.functional import softplus

from alignlab.data.batch import LabelBatch, Sequences
from alignlab.errors import DataError
from alignlab.models.policy import Policy

CLIP = (0.5, 10.0)
"""Range of the ratio: one prompt must not outweigh a batch."""
RIDGE = 1.0
"""Penalty on the squared weights of standardised features, against a sum of losses over rows."""


def rows_once(batch_at: Callable[[int], LabelBatch]) -> Iterator[LabelBatch]:
    """Every row of an endless stream of passes over the rows once, batch by batch."""
    seen: set[int] = set()
    for step in count():
        batch = batch_at(step)
        fresh = []
        for place, row in enumerate(batch.index.tolist()):
            if row not in seen:
                fresh.append(place)
                seen.add(row)
        if fresh:
            yield batch.select(torch.tensor(fresh, device=batch.index.device))
        if len(fresh) < len(batch):
            return


@torch.no_grad()
def prompt_states(policy: Policy, sequences: Sequences) -> Tensor:
    """Mean of the last hidden states over the tokens of each prompt, (B, H) float64 on the CPU."""
    prompt = sequences.attention & ~sequences.completion
    prompt = prompt[:, : int(prompt.sum(-1).max())]
    ids = sequences.ids[:, : prompt.shape[1]]
    hidden = policy.hidden(ids, prompt).double()
    mask = prompt.unsqueeze(-1)
    return ((hidden * mask).sum(1) / mask.sum(1)).cpu()


def density_ratios(features: Tensor, desirable: Tensor) -> Tensor:
    """p(x | desirable) / p(x | undesirable) of each row: (R, H), bool (R,) -> (R,), within `CLIP`.

    Logistic regression in which both verdicts weigh the same, so that the odds it gives are the ratio of densities
    whatever the number of rows of either (arXiv 2404.04656, underlying distribution matching).
    """
    if bool(desirable.all()) or not bool(desirable.any()):
        raise DataError(
            f"all {len(desirable)} labels have the same verdict: there is no density ratio between two kinds",
            "pass algo.density_ratio=false",
        )
    return _log_odds(features, desirable).exp().clamp(*CLIP)


def _log_odds(features: Tensor, desirable: Tensor) -> Tensor:
    spread = features.std(0, unbiased=False)
    inputs = (features - features.mean(0)) / torch.where(spread > 0, spread, 1.0)
    sign = torch.where(desirable, 1.0, -1.0).to(inputs)
    share = torch.where(desirable, desirable.sum(), (~desirable).sum()).to(inputs)
    balance = len(desirable) / (2 * share)
    parameters = torch.zeros(inputs.shape[1] + 1, dtype=inputs.dtype, requires_grad=True)
    solver = torch.optim.LBFGS(
        [parameters], max_iter=500, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def odds() -> Tensor:
        return inputs @ parameters[:-1] + parameters[-1]

    def loss() -> Tensor:
        solver.zero_grad()
        value = (balance * softplus(-sign * odds())).sum() + RIDGE / 2 * (parameters[:-1] ** 2).sum()
        value.backward()
        return value

    with torch.enable_grad():
        solver.step(loss)
    return odds().detach()
