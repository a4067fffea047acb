"""Training any method as a stage: its address, the parts it declares, its result."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache, cached_property
from typing import Any

import torch

from alignlab.budget import BudgetConfig
from alignlab.config import Keep, named_objective
from alignlab.data.loader import ENDLESS, Batches
from alignlab.data.module import Collator, PreferenceData
from alignlab.data.schema import Split
from alignlab.method import (
    Data,
    Method,
    MethodConfig,
    OfflineConfig,
    OnlineConfig,
    Output,
    PairConfig,
    Reference,
    RevisionConfig,
    TrainedConfig,
)
from alignlab.models.frozen import Frozen
from alignlab.models.parts import Parts
from alignlab.models.scorer import Scorer
from alignlab.modules.objective import PairObjective
from alignlab.modules.pace import Pace
from alignlab.rewards.config import check_value_start
from alignlab.seeding import Seeds
from alignlab.stages import cost, scoring, training
from alignlab.stages.artefact import Artefact
from alignlab.stages.files import sync_tree
from alignlab.stages.key import StageKey
from alignlab.stages.protocol import Stages
from alignlab.stages.reference import FILE as REFERENCE_FILE
from alignlab.stages.reference import paired, read_reference
from alignlab.stages.store import Workspace
from alignlab.work import plays

STREAMS = ("init", "data", "dropout")
"""Seed streams that every training reads; those that sample read `rollout` too."""


class Trained:
    """One training job: a method, its configuration, and where its inputs come from."""

    def __init__(
        self, graph: Stages, method: Method, config: MethodConfig, label: str, seeds: Seeds, part: Split
    ) -> None:
        self.graph, self.method, self.config = graph, method, config
        self.label, self.seeds, self.part = label, seeds, part
        self.needs = config.needs(method.needs)

    @property
    def select(self) -> bool:
        """Whether the best of several snapshots is kept instead of the last.

        Of a method that acts at inference, the policy that it builds on counts.
        """
        run = self.graph.settings
        if run.keep is not Keep.best or self.method.output is not Output.POLICY:
            return False
        asked = getattr(run.algo, "policy", None) if self.graph.method.sampler else run.algo
        return self.config is asked

    @property
    def budget(self) -> BudgetConfig | None:
        """What ends this training, where that is the run's budget: it is given to what the run is about."""
        run = self.graph.settings
        return run.budget if self.config is run.algo and run.budget.ends_training else None

    @cached_property
    def key(self) -> StageKey:
        """Address of the result. The preset's name is a label and does not count."""
        graph, needs, run = self.graph, self.needs, self.graph.settings
        fields: dict[str, Any] = {
            "algo": self.own_settings,
            "base": graph.base.address,
            "seeds": self.seeds.key(*STREAMS, *(("rollout",) if needs.rollouts else ())),
            "precision": run.trainer.precision,
            "micro_batch_size": run.trainer.micro_batch_size,
            "gradient_checkpointing": run.trainer.gradient_checkpointing,
            "processes": run.trainer.devices,
            "data": self._data_address(),
        }
        fields |= self._needed()
        if self.budget is not None:
            fields["budget"] = self.budget
        if self.select:
            fields["selected"] = self._selection_address()
        kind = "policy"
        if self.method.output is Output.SCORER:
            kind = "scorer"
            fields |= {} if self.method.fixes_zero else {"calibration": self._calibration_address()}
        code = (*self.method.code(), *(self._objective[0].code() if self._objective else ()))
        return graph.key(kind, fields, *dict.fromkeys(code), training, scoring, "alignlab.stages.trained")

    @property
    def own_settings(self) -> dict[str, Any]:
        """What the method was told. A preset's name is a label and does not count."""
        return {name: value for name, value in asdict(self.config).items() if name not in ("name", "policy")}

    def _needed(self) -> dict[str, Any]:
        """What the parts that the method declares depend on."""
        graph, needs, fields = self.graph, self.needs, dict[str, Any]()
        if needs.sft:
            fields["start"] = self.start.content
        if needs.reference is Reference.LOGPS:
            fields["reference"] = graph.reference_logps(needs.data).content
        if needs.auxiliary is not None:
            fields["auxiliary"] = self._view_address(needs.auxiliary)
        if needs.mismatched:
            fields["mismatched"] = True
        if needs.rollouts:
            fields |= graph.sampling_fields()
        return fields | self.scorer_addresses()

    def scorer_addresses(self) -> dict[str, Any]:
        """What the declared scorers depend on, by name."""
        return {name: self.graph.scorer_address(name) for name in self.needs.scorers}

    def scorers(self) -> dict[str, Any]:
        """The declared scorers, ready to score rollouts."""
        return {name: self.graph.scorer_function(name) for name in self.needs.scorers}

    @cached_property
    def _objective(self) -> tuple[Method, PairConfig] | None:
        """The pair objective of the method, or the one that its settings name."""
        if self.method.objective:
            assert isinstance(self.config, PairConfig)  # what every pair objective is combined with
            return self.method, self.config
        return named_objective(self.config)

    def _data_address(self) -> dict[str, Any]:
        return self._view_address(self.needs.data)

    def _view_address(self, view: Data) -> dict[str, Any]:
        graph = self.graph
        if view in (Data.PAIRS, Data.SAFETY) or (view is Data.LABELS and graph.labels_from_pairs):
            return {"view": view, **graph.pair_fields(self.part)}
        if view is Data.REVISIONS:
            found = {"view": view, "revisions": self.revisions.content}
            return {**found, "template": graph.base.template, "limits": graph.base.limits()}
        rows = graph.source_address("demonstrations" if view is Data.DEMONSTRATIONS else "labels")
        where: dict[str, Any] = {"view": view, **rows, "seeds": self.seeds.key("world")}
        where |= graph.label_fields(self.part) if view is Data.LABELS else {}
        limits = graph.base.limits(prompts=self.needs.rollouts)
        return {**where, "template": graph.base.template, "limits": limits}

    def _selection_address(self) -> dict[str, Any]:
        """What the choice between snapshots depends on."""
        graph, run = self.graph, self.graph.settings
        return {
            "by": graph.reward(Split.HELD_OUT).content,
            "of": run.trainer.snapshots,
            "on": graph.source_address("evaluation"),
            "seeds": run.seeds.key("world", "evaluation"),
            **graph.sampling_fields(),
        }

    def _calibration_address(self) -> dict[str, Any]:
        """What the zero and the unit of a scorer depend on: samples of the SFT policy."""
        graph, run = self.graph, self.graph.settings
        return {
            "scale": run.reward.scale,
            "on": graph.source_address("labels"),
            "seeds": run.stage_seeds.key("world", "labels"),
            **graph.sampling_fields(),
        }

    @property
    def _revising(self) -> RevisionConfig:
        assert isinstance(self.config, RevisionConfig)  # who declares Data.REVISIONS says how to revise
        return self.config

    @cached_property
    def revisions(self) -> Artefact:
        """Revised samples of what training starts from."""
        return self.graph.revisions(self.start, self._revising, self.seeds)

    def rows(self, view: Data | None = None) -> Sequence[Any]:
        """Tokenised training rows of a view, by default the one the method declares."""
        views: dict[Data, Callable[[], Sequence[Any]]] = {
            Data.PAIRS: lambda: self.graph.pair_rows(self.part),
            Data.SAFETY: lambda: self.graph.safety_rows(self.part),
            Data.DEMONSTRATIONS: lambda: self.graph.demonstration_rows(sampled=self.needs.rollouts),
            Data.REVISIONS: lambda: self.graph.revision_rows(self.revisions, every=self._revising.every_step),
            Data.LABELS: lambda: self.graph.label_rows(self.part),
            Data.PROMPTS: lambda: self.graph.prompt_rows(Split.TRAIN, self.seeds),
        }
        return views[view or self.needs.data]()

    def data(self) -> PreferenceData:
        """Batches of the whole run."""
        config, graph, needs = self.config, self.graph, self.needs
        steps = config.steps if isinstance(config, OnlineConfig) else None
        if self.budget is not None:
            steps = ENDLESS
        assert isinstance(config, TrainedConfig)  # samplers learn from no rows
        return PreferenceData(
            needs.data,
            self.rows(),
            config.batch_size // (config.group_size if isinstance(config, OnlineConfig) else 1),
            seeds=self.seeds,
            epochs=config.epochs if not steps and isinstance(config, OfflineConfig) else None,
            steps=steps,
            pad_id=graph.base.pad_id,
            reference=self._stored_reference(),
            mismatched=graph.mismatched_rows() if needs.mismatched else None,
            mismatched_reference=self._stored_reference(mismatched=True) if needs.mismatched else None,
        )

    def _stored_reference(self, *, mismatched: bool = False) -> Any:
        if self.needs.reference is not Reference.LOGPS:
            return None
        stored = self.graph.reference_logps(self.needs.data, mismatched=mismatched)
        values = read_reference(stored.file(REFERENCE_FILE))
        return paired(values) if self.needs.data is Data.PAIRS else values

    def _auxiliary(self) -> Callable[[int, int, int], Any] | None:
        """Batch `step` of an endless stream of the second view, and of it the share of one process."""
        view = self.needs.auxiliary
        if view is None:
            return None
        collate, config = Collator(self.graph.base.pad_id).view(view), self.config
        assert isinstance(config, TrainedConfig)
        rows = config.batch_size

        @cache
        def stream(rank: int, world: int) -> Batches[Any, Any]:
            size = max(world, rows)
            return Batches(self.rows(view), collate, size, seeds=self.seeds, steps=ENDLESS, rank=rank, world=world)

        return lambda step, rank, world: stream(rank, world).batch(step)

    @cached_property
    def start(self) -> Artefact:
        """What training starts from: the SFT policy, or the result of the method that the settings name."""
        config = getattr(self.config, "policy", None) if self.needs.policy else None
        return self.graph.sft if config is None else self.graph.trained(config, config.name, self.seeds, self.part)

    def parts(self, total: int) -> Parts:
        """Exactly the models that the method declares."""
        graph, needs, run = self.graph, self.needs, self.graph.settings
        model = self._model()
        reference = engine = new_value = None
        if needs.reference is Reference.MODEL:
            reference = Frozen(graph.base.stored_policy(graph.sft.file("model")))
            plays(reference.model.model, "reference")
        if needs.rollouts:
            engine, new_value = graph.engine(model), self._new_value
        return Parts(
            method=self.method.name,
            model=model,
            seeds=self.seeds,
            tokenizer=graph.base.tokenizer,
            micro_batch_size=run.trainer.micro_batch_size,
            log_every=1 if isinstance(self.config, OnlineConfig) else run.trainer.log_every,
            total=total,
            pace=None if self.budget is None else Pace(self.budget.axis.value, self.budget.count or 0),
            end_ids=graph.base.end_ids,
            pad_id=graph.base.pad_id,
            _reference=reference,
            _scorers=self.scorers(),
            _engine=engine,
            _new_value=new_value,
            _new_engine=graph.engine if needs.rollouts else None,
            _objective=PairObjective(*self._objective) if self._objective else None,
            _auxiliary=self._auxiliary(),
        )

    def _model(self) -> Any:
        made = self._loaded()
        if made.apart:
            self.graph.announce(f"each completion runs with a copy of its prompt: {made.apart}")
        return made

    def _loaded(self) -> Any:
        graph = self.graph
        if self.method.output is Output.SCORER:
            made = graph.base.new_scorer(self.start.file("model"), self.seeds.of("init", "head", self.part.value))
            plays(made.model, cost.NAME if self.method.fixes_zero else "reward")
            return made
        return graph.base.stored_policy(self.start.file("model")) if self.needs.sft else graph.base.fresh()

    def _new_value(self, start: str) -> Scorer:
        """A trainable value model from a scorer's weights or the SFT policy's with a fresh head."""
        base, graph = self.graph.base, self.graph
        made: Scorer
        if start == cost.NAME:
            made = base.stored_scorer(graph.cost().file("model"))
        elif start == "reward":
            check_value_start(graph.settings.reward)
            made = base.stored_scorer(graph.reward().file("model"))
        else:
            made = base.new_scorer(graph.sft.file("model"), self.seeds.of("init", "value"))
        plays(made.model, "value")
        return made


def train(job: Trained, work: Workspace) -> Mapping[str, Any]:
    """Fit, calibrate or select, and write `model/` and `metrics.csv`; returns facts for the record."""
    graph, run, began = job.graph, job.graph.settings, time.perf_counter()
    data = job.data()
    data_total = len(data.train_dataloader())
    parts = job.parts(data_total)
    threads = training.threads_for(sum(p.numel() for p in parts.model.parameters()), run.trainer)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.manual_seed(job.seeds.of("init", "module"))
    module = job.method.load_module()(job.config, parts)
    snapshots = work.path / "snapshots"

    def snapshot(done: int) -> None:
        parts.model.save(snapshots / f"{done:06d}", parts.tokenizer)
        sync_tree(snapshots)

    # With several processes the log is written in another one than the tracker's.
    tracker = graph.tracker if job.config is run.algo and run.trainer.devices == 1 else None
    kept = snapshot if job.select else None
    spent = training.fit(
        module, data, training.Job(job.label, work.path, run.trainer, job.seeds, tracker, kept, parts.pace)
    )
    torch.set_num_threads(before)  # whatever follows computes the same bits whether or not this was found
    parts.model.to("cpu").eval()
    info: dict[str, Any] = {"batches": spent.batches, "rows": len(data.rows)}
    if job.budget is not None:
        info["spent"] = getattr(spent.work, job.budget.axis.value)
    if job.method.output is Output.SCORER:
        settle = cost.check if job.method.fixes_zero else scoring.calibrate_and_check
        assert isinstance(parts.model, Scorer)
        info |= settle(graph, parts.model, job.part, run.reward)
    if job.select:
        info |= scoring.select_snapshot(graph, snapshots, work.out)
    else:
        parts.model.save(work.out / "model", parts.tokenizer)
    shutil.copyfile(work.path / "metrics.csv", work.out / "metrics.csv")
    return info | {"seconds": round(spent.seconds + time.perf_counter() - began, 1), "threads": threads}
