"""The loop every in-process engine shares: sample, notice ends, drop finished rows, assemble.

Random numbers belong to (row identity, completion position), so nothing in here, neither the order of rows nor
when a finished one is dropped, can change what another row samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from alignlab.data.batch import Sequences
from alignlab.errors import TrainingError
from alignlab.numerics.logps import upcast
from alignlab.numerics.noise import Noise, inverse_cdf
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.prompts import Prompts
from alignlab.rollout.sampling import Sampling

DROP_AT = 0.85
"""Finished rows leave the batch once no more than this share of it is still running."""


class Decoder(Protocol):
    """A model in the middle of generating a batch."""

    def start(self, prompts: Prompts) -> Tensor:
        """Read the distinct prompts: logits of the first new token of every row, (B, V)."""

    def step(self, ids: Tensor) -> Tensor:
        """Append one token to every row, (B,): logits of the next, (B, V)."""

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only, distinct and in this order, (K,) long."""


def next_tokens(logits: Tensor, sampling: Sampling, u: Tensor) -> tuple[Tensor, Tensor]:
    """One token a row and its log-probability: logits (B, V), uniforms u (B,) -> (B,), (B,).

    The log-probability is that of the distribution sampled from, after temperature and truncation; that of a
    greedy token is taken at temperature 1.
    """
    logits = upcast(logits)
    if sampling.greedy:
        ids = logits.argmax(-1)
        return ids, logits.log_softmax(-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    if sampling.temperature != 1:
        logits = logits / sampling.temperature
    probabilities = logits.softmax(-1)
    if sampling.truncated:
        probabilities = truncate(probabilities, top_k=sampling.top_k, top_p=sampling.top_p)
    ids = inverse_cdf(probabilities, u)
    return ids, probabilities.gather(-1, ids.unsqueeze(-1)).squeeze(-1).log()


def truncate(probabilities: Tensor, *, top_k: int, top_p: float) -> Tensor:
    """Keep the top k, then the fewest of them that hold the share top_p; renormalise. (B, V) -> (B, V).

    Of equally likely tokens the lower id is kept first. The most likely token always stays (arXiv 1904.09751).
    """
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    if top_k > 0:
        ordered[:, top_k:] = 0
    before = ordered.cumsum(-1, dtype=torch.float64) - ordered
    ordered = ordered.masked_fill(before >= top_p * ordered.sum(-1, keepdim=True), 0)
    return torch.zeros_like(probabilities).scatter(-1, order, ordered / ordered.sum(-1, keepdim=True))


def decode(
    decoder: Decoder, prompts: Prompts, noise: Noise, sampling: Sampling, end_ids: Sequence[int], pad_id: int
) -> Rollouts:
    """Generate until every row has produced an end token or `max_new_tokens` tokens."""
    device, rows = prompts.ids.device, len(prompts.source)
    if len(noise.rows) != rows:
        raise ValueError(f"{rows} prompts but noise for {len(noise.rows)} rows")
    ends = torch.tensor(list(end_ids), dtype=torch.long, device=device)
    steps = torch.arange(sampling.max_new_tokens, device=device)[:, None]
    u = noise._replace(rows=noise.rows.to(device)).uniform(steps)
    tokens = torch.full(u.shape, pad_id, dtype=torch.long, device=device)

    logits = decoder.start(prompts)
    logps = torch.zeros(u.shape, dtype=upcast(logits).dtype, device=device)
    running = torch.arange(rows, device=device)  # row of the result that each row of the decoder belongs to
    finished = torch.zeros(rows, dtype=torch.bool, device=device)
    for t in range(sampling.max_new_tokens):
        ids, drawn = next_tokens(logits, sampling, u[t, running])
        tokens[t, running], logps[t, running] = ids, drawn
        finished |= torch.isin(ids, ends)
        left = len(running) - int(finished.sum())
        if left == 0 or t + 1 == sampling.max_new_tokens:
            break
        if left <= DROP_AT * len(running):
            alive = survivors(finished, left)
            decoder.keep(alive)
            ids, running, finished = ids[alive], running[alive], finished[alive]
        logits = decoder.step(ids)
    return assemble(prompts, tokens[: t + 1].T, logps[: t + 1].T, ends, pad_id)


def survivors(finished: Tensor, left: int) -> Tensor:
    """The `left` unfinished rows, ordered so that most stay where they are: (B,) bool -> (left,) long.

    Rows from beyond `left` move into the gaps before it, so a cache copies those few rows and no others.
    """
    rows = torch.arange(left, device=finished.device)
    rows[finished[:left]] = (~finished[left:]).nonzero().squeeze(-1) + left
    return rows


def assemble(prompts: Prompts, tokens: Tensor, logps: Tensor, ends: Tensor, pad_id: int) -> Rollouts:
    """Right-padded rollouts; what a row holds after its first end token is discarded.

    tokens, logps (B, N): the columns in which rows generated. TrainingError if a log-probability is not finite.
    """
    is_end = torch.isin(tokens, ends)
    new = is_end.long().cumsum(-1) - is_end.long() == 0  # up to and including the first end token
    ended = is_end.any(-1)
    broken = (new & ~logps.isfinite()).any(-1)
    if bool(broken.any()):
        raise TrainingError(
            f"the policy's next-token distribution is not finite while it completes row {int(broken.nonzero()[0])}",
            "its weights have diverged: lower the learning rate or switch gradient clipping on",
        )
    ids, real = prompts.rows()
    start, length = real.sum(-1, keepdim=True), new.sum(-1, keepdim=True)
    columns = torch.arange(int((start + length).max()), device=ids.device)
    attention = columns < start + length
    completion = attention & (columns >= start)
    out = torch.full(attention.shape, pad_id, dtype=torch.long, device=ids.device)
    out[columns < start], out[completion] = ids[real], tokens[new]
    drawn = torch.zeros(attention.shape, dtype=logps.dtype, device=ids.device)
    drawn[completion] = logps[new]
    return Rollouts(Sequences(out, attention, completion), drawn, ended)
