"""What every method that learns from its own samples shares, except what it does with them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import lightning as L
import torch
from torch import Tensor

from alignlab.data.batch import PromptBatch, Sequences, over_rows
from alignlab.errors import ConfigError, TrainingError
from alignlab.method import OnlineConfig
from alignlab.models.parts import Parts
from alignlab.modules.experience import Chunk, Experience, chunks, minibatches, own_rows
from alignlab.modules.gates import disagreement, half
from alignlab.modules.optimise import adamw, all_sum, record, update
from alignlab.numerics.logps import sequence_logps
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.engine import TOLERANCE, consistency
from alignlab.work import uncounted

__all__ = ["Chunk", "Experience", "RolloutModule"]

CHECKED = 50
"""Rollouts after which all log-probabilities of the engine are held against the policy's again."""
SHARE = 16
"""One completion in so many is held against it in every rollout."""
Loss = Callable[[Chunk], tuple[Tensor, Mapping[str, Tensor]]]
"""A chunk's share of the minibatch's loss, and of its metrics: shares of all chunks and processes add up."""


class RolloutModule(L.LightningModule):
    """Sample, score and gate; then defer to `learn`, which takes its updates through `passes`."""

    config: OnlineConfig
    distrusts: Tensor
    """Whether the engine's log-probabilities were found to be off, () bool."""

    def __init__(self, config: OnlineConfig, parts: Parts) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.config, self.parts = config, parts
        self.policy = parts.policy
        self.reference = parts.reference if parts.has_reference else None
        self.trusts = False  # whether the present rollout's log-probabilities are the engine's
        self.register_buffer("distrusts", torch.zeros((), dtype=torch.bool))  # in checkpoints: a resumed run knows it

    def learn(self, experience: Experience, batch_idx: int) -> dict[str, float]:
        """All updates of one iteration; returns metrics. The only method a plugin must write."""
        raise NotImplementedError(f"{type(self).__name__} must define learn(experience, batch_idx)")

    def training_step(self, batch: PromptBatch, batch_idx: int) -> None:
        """One iteration: a rollout and every update on it."""
        experience, metrics = self.collect(batch, batch_idx)
        metrics |= self.learn(experience, batch_idx)
        record(self, batch_idx, (batch_idx + 1) * self.config.batch_size, metrics)

    @torch.no_grad()
    def collect(self, batch: PromptBatch, batch_idx: int) -> tuple[Experience, dict[str, float]]:
        """Sample `group_size` completions a prompt and score them."""
        size = self.config.group_size
        prompts = [prompt for prompt in batch.rows for _ in range(size)]
        rollouts = self.parts.engine.sample(
            [ids for ids in batch.prompts for _ in range(size)], self.noise(len(batch), batch_idx)
        )
        sequences = rollouts.sequences
        logps, spread, gap = self._own_logps(rollouts, batch_idx)
        frozen = self.reference
        reference = None if frozen is None else self.in_chunks(sequences, lambda rows: frozen(rows).logps)
        raw = {name: scorer.score(rollouts, prompts) for name, scorer in self.parts.scorers.items()}
        scores = dict(raw)
        if "reward" in raw:
            scores["reward"] = raw["reward"] - self.config.missing_end_penalty * (~rollouts.ended)
        experience = Experience(sequences, logps, reference, scores, rollouts.ended, size, prompts)
        if batch_idx == 0:
            self._gate_start(experience)
        return experience, self._describe(experience, raw, spread, batch_idx) | gap

    def _own_logps(self, rollouts: Rollouts, batch_idx: int) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Log-probabilities of the samples, (B, T), their entropy summed over tokens, and how far the engine was off.

        The engine's are taken as they are while they agree with the policy's own: all are compared now and then, some
        of every rollout. The entropy is then estimated by -log p of what was drawn.
        """
        sequences, mask = rollouts.sequences, rollouts.sequences.completion
        self.trusts = False
        if half(self.policy, mask.device.type):  # differs by more than any limit can tell from an error
            logps, spread = self._scored(sequences)
            return logps, spread, {}
        if batch_idx % CHECKED and not bool(self.distrusts):
            few = rollouts.select(slice(0, -(-rollouts.rows // SHARE)))
            with uncounted():  # a check is no work of the method, and depends on how rows are divided
                self._hold_against(few, self._scored(few.sequences)[0])
            if not bool(self.distrusts):
                self.trusts = True
                return rollouts.logps, -rollouts.logps[mask].double().sum(), {}
        logps, spread = self._scored(sequences)
        return logps, spread, {"train/engine_gap": self._hold_against(rollouts, logps)}

    def _scored(self, sequences: Sequences) -> tuple[Tensor, Tensor]:
        """The policy's own log-probabilities, (B, T), and the entropy summed over tokens."""
        both = self.in_chunks(sequences, lambda rows: torch.stack(self.policy(rows, entropy=True)[:2], -1))
        return both[..., 0], both[..., 1].double().sum()

    def _hold_against(self, rollouts: Rollouts, logps: Tensor) -> float:
        """How far the engine is off; where that is more than rounding in any process, none is trusted from now on."""
        gap = consistency(rollouts, logps)
        off = float(all_sum(torch.tensor(float(not gap <= TOLERANCE), device=logps.device)))
        if off and not bool(self.distrusts):
            self.distrusts.fill_(True)
            warnings.warn(
                f"{self.config.name}: log-probabilities of the sampling engine are off by up to {gap:.2g} nats a "
                "token; each rollout is scored again",
                stacklevel=2,
            )
        return gap

    def noise(self, prompts: int, *counters: int | str) -> Noise:
        """Random numbers of each completion: places in the global batch decide, whichever process holds a row."""
        size = self.config.group_size
        places = self.trainer.global_rank + torch.arange(prompts) * self.trainer.world_size
        rows = (places[:, None] * size + torch.arange(size)).flatten()
        return Noise(self.parts.seeds.of("rollout", *counters), rows)

    def in_chunks(self, sequences: Sequences, score: Callable[[Sequences], Tensor]) -> Tensor:
        """Per-token values of all rows, (B, T, ...), computed on micro-batches of rows of similar length."""
        return over_rows(sequences, score, self.parts.micro_batch_size)

    def passes(
        self, sequences: Sequences, columns: Mapping[str, Tensor], batch_idx: int, loss: Loss, *, together: int = 0
    ) -> dict[str, float]:
        """`rollout_epochs` passes over a rollout in `minibatches` updates each; returns mean metrics.

        `columns` hold what is known of each row, (B, T) or (B,). Rows of one prompt stay in one minibatch, and in
        one chunk unless `trainer.micro_batch_size` is less; then those that `together` says belong together stay.
        Minibatches are drawn from the whole rollout, so that they do not depend on the number of processes.
        """
        config, rank, world = self.config, self.trainer.global_rank, self.trainer.world_size
        size = together or config.group_size
        total = round(float(all_sum(torch.tensor(float(sequences.rows), device=self.device)))) // size
        updates, sums, taken = config.rollout_epochs * config.minibatches, dict[str, float](), 0
        if total < config.minibatches:
            raise ConfigError(
                f"algo.minibatches={config.minibatches} updates have only {total} prompts to share",
                "pass a larger algo.batch_size or fewer algo.minibatches",
            )
        for epoch in range(config.rollout_epochs):
            seed = self.parts.seeds.of("data", "minibatch", batch_idx, epoch)
            for number, groups in enumerate(minibatches(total, config.minibatches, seed)):
                if self.parts.pace is not None and self.parts.pace.stops_updates:
                    break
                rows = own_rows(groups, size, rank, world).to(sequences.ids.device)
                step = batch_idx * updates + epoch * config.minibatches + number
                first, taken = epoch == number == 0, taken + 1
                found = self._minibatch(sequences, columns, rows, step, updates, loss, first, together)
                for name, value in found.items():
                    sums[name] = sums.get(name, 0.0) + value
        return {f"train/{name}": value / taken for name, value in sums.items()}

    def _minibatch(
        self,
        sequences: Sequences,
        columns: Mapping[str, Tensor],
        rows: Tensor,
        step: int,
        updates: int,
        loss: Loss,
        first: bool,
        together: int,
    ) -> dict[str, float]:
        empty = len(rows) == 0  # another process has all rows of this minibatch, and waits for this one's gradient
        micro, size = self.parts.micro_batch_size, together or self.config.group_size
        if empty:
            rows = torch.arange(size, device=sequences.ids.device)
        counted = sequences.completion[rows].sum(-1) * (not empty)
        totals = all_sum(torch.stack([counted.sum(), torch.tensor(len(rows) * (not empty), device=counted.device)]))
        cuts = chunks(
            sequences,
            columns,
            rows,
            totals=(totals[0], totals[1]),
            first=first and not empty,
            micro=micro,
            spare=self.parts.spare,
            group_size=size if not 0 < micro < size else together or 1,
            shared=not self.policy.apart,
        )
        tally: dict[str, Tensor] = {}

        def loss_of(chunk: Chunk) -> Tensor:
            with uncounted(empty):
                value, metrics = loss(chunk)
            for name, part in metrics.items():
                tally[name] = tally.get(name, torch.zeros((), dtype=torch.float64, device=value.device)) + part.detach()
            return value * 0 if empty else value

        last, pace = self.parts.total * updates, self.parts.pace
        found, norm = update(self, cuts, loss_of, self.config, step=step, total=last, pace=pace)
        means = {name: float(all_sum(value * (not empty))) for name, value in tally.items()}
        return {"loss": found, "grad_norm": norm} | means

    def _gate_start(self, experience: Experience) -> None:
        """KL must be 0 at the first step: the policy starts at its reference."""
        if experience.reference_logps is None:
            return
        mask = experience.sequences.completion
        gap = disagreement(experience.logps, experience.reference_logps, mask, self.policy)
        if gap:
            raise TrainingError(
                f"{self.config.name}: KL to the reference is not 0 at step 0: log-probabilities differ by {gap}",
                "the reference must be an exact copy of the starting policy, both without dropout",
            )

    def gate_ratio(self, logps: Tensor, old_logps: Tensor, mask: Tensor) -> None:
        """Policy and rollout policy must agree before the first update, or every ratio is wrong."""
        # What an engine says is only known to agree where it was looked at.
        gap = disagreement(logps, old_logps, mask, self.policy, slack=10 if self.trusts else 1)
        if gap:
            raise TrainingError(
                f"{self.config.name}: the probability ratio is not 1 before update {self.trainer.global_step}: "
                f"log-probabilities differ by {gap}",
                "rollout and training must use the same temperature, masks and positions",
            )

    def _describe(
        self, experience: Experience, raw: Mapping[str, Tensor], entropy: Tensor, step: int
    ) -> dict[str, float]:
        mask, rows = experience.sequences.completion, len(experience.ended)
        counted = [torch.tensor(float(rows), device=mask.device), experience.ended.sum(), mask.sum(), entropy]
        counted += [score.sum() for score in raw.values()]
        count, ended, tokens, spread, *scores = all_sum(torch.stack([each.double() for each in counted])).tolist()
        metrics = {
            "train/score" if name == "reward" else f"train/{name}": s / count
            for name, s in zip(raw, scores, strict=True)
        }
        if experience.reference_logps is not None:
            metrics |= self._drift(sequence_logps(experience.logps - experience.reference_logps, mask), count, step)
        return metrics | {
            "train/ended": ended / count,
            "train/length": tokens / count,
            "train/entropy": spread / tokens,
        }

    def _drift(self, kl: Tensor, count: float, step: int) -> dict[str, float]:
        """Mean KL to the reference in nats a completion, (B,) -> one number; it cannot be negative."""
        total, square = all_sum(torch.stack([kl.sum(), (kl**2).sum()]).double()).tolist()
        mean = total / count
        error = (max(square / count - mean**2, 0) / count) ** 0.5
        if mean < -(5 * error + 0.01):
            raise TrainingError(
                f"{self.config.name}: estimated KL is {mean:.3f} ± {error:.3f} nats at step {step}; KL cannot be "
                f"negative",
                "samples do not come from the distribution that is scored: check sampling settings and end tokens",
            )
        return {"train/kl": mean}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the policy."""
        return adamw(self.config, (self.policy, 1.0))
