"""Methods that sample, or look at a whole batch: their own modules, trained on the tabular policy.

Everything is as in a run on text except the model, the reward, which is the true one, and optimisation, which suits a
table. What such a run arrives at carries the noise of its samples.
"""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import fields, replace
from typing import Any

import lightning as L
import torch
from torch import Tensor

from alignlab.data.batch import LabelBatch, PairBatch, PromptBatch
from alignlab.exact.table import ExactReward, TableModel, TableValue, rows
from alignlab.method import Data, Method, MethodConfig, OnlineConfig
from alignlab.models.frozen import Frozen
from alignlab.models.parts import Parts
from alignlab.models.policy import Policy
from alignlab.modules.objective import PairObjective
from alignlab.numerics.noise import Noise, inverse_cdf
from alignlab.numerics.population import Population
from alignlab.rollout.sampling import Sampling
from alignlab.rollout.transformers_engine import TransformersEngine
from alignlab.seeding import Seeds
from alignlab.worlds import exact

BATCH = 512
"""Completions, pairs or labels of one update."""
LR = 0.05
"""Of AdamW on logits in a table."""


def settings(config: MethodConfig, steps: int) -> MethodConfig:
    """Optimisation that suits a table, everything else as it is."""
    ours: dict[str, Any] = dict(
        lr=LR,
        batch_size=BATCH,
        schedule="linear",
        warmup=0.0,
        weight_decay=0.0,
        max_grad_norm=0.0,
        epochs=1,
        steps=steps,
        minibatches=1,
        missing_end_penalty=0.0,
    )
    if isinstance(config, OnlineConfig):
        ours["group_size"] = min(2 ** round(math.log2(config.group_size)), BATCH // exact.PROMPTS)
    known = {spec.name for spec in fields(config)}
    return replace(config, **{name: value for name, value in ours.items() if name in known})


def unfit(method: Method, config: MethodConfig) -> str:
    """Why a method cannot be trained in this world; empty where it can."""
    needs = config.needs(method.needs)
    if not method.yields_policy:
        return "trains no policy"
    lacking = [name for name in needs.scorers if name != "reward"]
    if lacking:
        return f"needs a {lacking[0]} model"
    if needs.policy:
        return "starts from another method's policy"
    if needs.data in (Data.DEMONSTRATIONS, Data.REVISIONS, Data.SAFETY) or needs.auxiliary is not None:
        return f"needs {needs.auxiliary or needs.data}"
    return ""


def train(
    method: Method, config: MethodConfig, objective: PairObjective | None, world: Population, steps: int, seed: int
) -> Tensor:
    """Train a module on samples; log-probabilities of all completions under the policy it ends with, (X, Y)."""
    seeds = Seeds(seed)
    table, engine = TableModel(), _engine
    policy = Policy(table)
    parts = Parts(
        method=method.name,
        model=policy,
        seeds=seeds,
        tokenizer=None,
        total=steps,
        log_every=steps,
        sampling=Sampling(max_new_tokens=exact.LENGTH),
        _reference=Frozen(Policy(TableModel())),
        _scorers={"reward": ExactReward(world.reward)},
        _engine=engine(policy),
        _new_engine=engine,
        _new_value=lambda start: TableValue(),  # type: ignore[arg-type,return-value]
        _objective=objective,
    )
    module = method.load_module()(config, parts)
    draw = _Draw(world, seeds, config.needs(method.needs).data)
    size = BATCH // config.group_size if isinstance(config, OnlineConfig) else BATCH
    fit(module, [draw(step, size) for step in range(steps)])
    with torch.no_grad():
        return exact.sequence_logps(table.table.detach())


def _engine(policy: Policy, *, temperature: float = 1.0) -> TransformersEngine:
    sampling = Sampling(max_new_tokens=exact.LENGTH, temperature=temperature)
    return TransformersEngine(policy.model, sampling=sampling, end_ids=(), pad_id=0)


class _Draw:
    """Batches of a population, a function of (seed, step)."""

    def __init__(self, world: Population, seeds: Seeds, data: Data) -> None:
        self.world, self.seeds, self.data = world, seeds, data
        self.reference = exact.token_logps(exact.reference_logits())

    def __call__(self, step: int, size: int) -> Any:
        """One batch of rows that this world can give."""
        prompts = torch.arange(size) % exact.PROMPTS
        if self.data is Data.PROMPTS:
            unread: list[Any] = [None] * size  # the reward here reads token ids
            return PromptBatch(torch.arange(size), [[x] for x in prompts.tolist()], unread)
        noise = Noise(self.seeds.of("labels", step), torch.arange(size))
        first, second = (inverse_cdf(self.world.sampling[prompts], noise.uniform(k)) for k in range(2))
        right = noise.uniform(2) < self.world.preference[prompts, first, second]
        chosen, rejected = torch.where(right, first, second), torch.where(right, second, first)
        both = torch.cat([prompts, prompts]), torch.cat([chosen, rejected])
        if self.data is Data.PAIRS:
            return PairBatch(torch.arange(size), rows(*both), self._logps(*both))
        return self._labels(prompts, *(side[: size // 2] for side in (chosen, rejected)))

    def _labels(self, prompts: Tensor, chosen: Tensor, rejected: Tensor) -> LabelBatch:
        """Half as many pairs, split into thumbs up and down; the completions of other prompts for estimates of KL."""
        completions = torch.cat([chosen, rejected])
        own = prompts[: len(chosen)].repeat(2)
        others = completions.roll(1)
        return LabelBatch(
            torch.arange(len(own)),
            rows(own, completions),
            torch.arange(len(own)) < len(chosen),
            self._logps(own, completions),
            rows(own, others),
            self._logps(own, others),
        )

    def _logps(self, prompts: Tensor, completions: Tensor) -> Tensor:
        """Token log-probabilities of the reference, 0 on the prompt, (B, 4)."""
        tokens = self.reference[prompts, completions]
        return torch.cat([torch.zeros_like(tokens[:, :1]), tokens], 1)


def fit(module: L.LightningModule, batches: list[Any]) -> None:
    """Train over the batches in order, without a word."""
    with _silence():
        trainer = L.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(module, torch.utils.data.DataLoader(batches, batch_size=None))  # type: ignore[arg-type]


class _silence:
    """Lightning's advice is about other trainings."""

    def __enter__(self) -> None:
        self.log = logging.getLogger("lightning.pytorch")
        self.level = self.log.level
        self.log.setLevel(logging.ERROR)
        self.caught = warnings.catch_warnings()
        self.caught.__enter__()
        warnings.filterwarnings("ignore", module="lightning.*")

    def __exit__(self, *error: object) -> None:
        self.caught.__exit__(*error)  # type: ignore[arg-type]
        self.log.setLevel(self.level)
