"""The stage graph of a run: SFT → preferences → reward, cost models → reference log-probs → method → evaluation.

Each stage is asked for by what needs it, looked up by its key, and computed only when it is not there. A key holds
what the stage reads and nothing else; see docs/store.md. Roles, not method names: which plugin fills `sft`,
`reward` and `cost` is for the configuration to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, TypeVar

from alignlab import registry
from alignlab.config import RunConfig, check_revisions
from alignlab.data.module import mismatch
from alignlab.data.schema import Pair, Split
from alignlab.data.tokens import DemonstrationTokens, LabelTokens, PairTokens, PromptTokens, SafetyTokens
from alignlab.errors import DataError, PluginError
from alignlab.method import Data, Method, MethodConfig, RevisionConfig, chain
from alignlab.models.policy import Policy
from alignlab.models.scorer import Scorer
from alignlab.rewards.config import trained_models
from alignlab.rollout.engine import build_engine
from alignlab.rollout.sampler import Sampler
from alignlab.rollout.sampling import Sampling
from alignlab.seeding import Seeds
from alignlab.stages import annotated, cost, preferences, reference, revised, rewards, rows, sampled, verdicts
from alignlab.stages.artefact import Artefact
from alignlab.stages.fingerprint import source_hashes
from alignlab.stages.key import StageKey, environment
from alignlab.stages.models import Base
from alignlab.stages.store import Store, Workspace
from alignlab.stages.trained import Trained, train
from alignlab.stages.training import accelerator
from alignlab.tracking.console import say
from alignlab.tracking.tracker import Silent, Tracker

LOADING = ("alignlab.stages.models", "alignlab.models.load")
"""Code that decides how models are loaded enters every key."""
T = TypeVar("T")
SCORING_ROWS = 256
"""Rows in a forward pass that needs no gradient."""


class Graph:
    """Stages of one run, by name. Each property and method returns a verified artefact of the store."""

    def __init__(self, settings: RunConfig, *, quiet: bool = False, store: Store | None = None) -> None:
        self.settings = settings
        self.announce = (lambda line: None) if quiet else say
        self.store = Store(settings.store, self.announce) if store is None else store
        self.source = registry.component("sources", settings.data.source).load()(settings.data)
        if hasattr(self.source, "place"):
            # Not the graph itself: a circle of references would keep models until garbage is collected.
            stored = partial(rows.place, self.store, settings.data.source, type(self.source))
            self.source.place = partial(stored, self.source.place)
        for note in getattr(self.source, "notes", ()):
            self.announce(note)
        self.base = Base(settings, self.source)
        self.method: Method = registry.method(settings.algo.method)
        self._check_data()
        self.tracker: Tracker = Silent()
        """Mirrors the metrics of the method, not those of the stages before it."""
        self._read: dict[str, Any] = {}

    def _check_data(self) -> None:
        """Fail before any stage when the method needs scorers or labels that nothing here gives."""
        self.settings.annotator.check(self.source)
        check_revisions(self.settings)
        self.settings.judge.check(self.source)
        given = self.settings.stages.sft
        for config in (*chain(self.settings.algo), *(chain(given) if given is not None else ())):
            self._check_needs(config)

    def _check_needs(self, config: MethodConfig) -> None:
        needs = config.needs(registry.method(config.method).needs)
        strange = sorted(set(needs.scorers) - {"reward", cost.NAME})
        if strange:
            raise PluginError(
                f"method {config.method!r} needs the scorer {strange[0]!r}, and no stage trains one",
                "declare scorers=('reward',) or scorers=('reward', 'cost')",
            )
        rewards.check(self, config, needs)
        learned = "reward" in needs.scorers and trained_models(self.settings.reward) > 0
        stored = needs.data in self.source.native
        if not self.labelled and (learned or (needs.data in (Data.PAIRS, Data.SAFETY, Data.LABELS) and not stored)):
            raise DataError(
                f"{config.name} needs preferences, and data={self.settings.data.source} holds only "
                f"{', '.join(sorted(self.source.native))}",
                "choose data with pairs, or an annotator: annotator=policy",
            )
        if cost.NAME in needs.scorers or needs.data is Data.SAFETY:
            cost.check_labels(self.source, config.name)

    @cached_property
    def sft(self) -> Artefact:
        """The supervised policy every method starts from."""
        if self.settings.stages.sft is None:
            return self._given()
        return self.trained(self.settings.stages.sft, "SFT", self.settings.stage_seeds)

    @cached_property
    def judge(self) -> verdicts.RunJudge:
        """Who says of a reply whether it refuses."""
        return verdicts.build(self, device(self.settings))

    def _given(self) -> Artefact:
        """The base model itself, for `stages.sft=null`: it has been fine-tuned already."""

        def build(work: Workspace) -> Mapping[str, Any]:
            self.base.fresh().save(work.out / "model", self.base.tokenizer)
            return {}

        return self.store.produce(self.key("policy", {"base": self.base.address}), build, label="given policy")

    @cached_property
    def preferences(self) -> Artefact:
        """Label pairs, split once by prompt into those methods may train on and those held out."""
        if self.settings.annotator.judges:
            return annotated.produce(self, self.source_preferences, device(self.settings))
        return self.source_preferences()

    def source_preferences(self) -> Artefact:
        """Pairs that the source has, or that it labels itself."""
        settings, native = self.settings, Data.PAIRS in self.source.native
        if not self.labelled:
            raise DataError(
                f"data={self.settings.data.source} holds no pairs ({', '.join(sorted(self.source.native))}), and "
                "nothing here can label samples",
                "choose data with pairs, or an annotator: annotator=policy",
            )
        seeds = settings.stage_seeds
        fields: dict[str, Any] = {"data": self.source_address("labels"), "native": native}
        if not native:
            fields |= {"policy": self.sft.content, "seeds": seeds.key("world", "labels"), **self.sampling_fields()}

        def build(work: Workspace) -> Mapping[str, Any]:
            if native:
                return preferences.native(self.source, work.out)
            return preferences.sampled(
                self.source,
                self.engine(self.policy(self.sft)),
                self.base.tokenizer,
                seeds,
                work.out,
                limits=self.base.limits(prompts=True),
                template=self.base.template,
                batch=settings.rollout.batch_size,
            )

        return self.store.produce(self.key("preferences", fields, preferences), build, label="preferences")

    def reward(self, part: Split = Split.TRAIN, member: int = 0) -> Artefact:
        """A reward model: of the labels methods may see, or of those held out for selection and judging.

        Members beyond the first are reward models of the same labels under other seeds.
        """
        return self.once(f"reward-{part}-{member}", lambda: self._reward(part, member))

    def _reward(self, part: Split, member: int) -> Artefact:
        label = "reward model, held-out labels" if part is Split.HELD_OUT else "reward model"
        label += f", member {member + 1}" if member else ""
        seeds = rewards.member_seeds(self.settings.stage_seeds, member)
        return self.trained(self.settings.stages.reward, label, seeds, part)

    def cost(self) -> Artefact:
        """The cost model, from the safety labels of the pairs that methods may see."""
        return self.once(
            "cost", lambda: self.trained(self.settings.stages.cost, "cost model", self.settings.stage_seeds)
        )

    def reference_logps(self, view: Data = Data.PAIRS, *, mismatched: bool = False) -> Artefact:
        """Token log-probabilities of the training rows of a view under the SFT policy."""
        return self.once(f"reference-{view}-{mismatched}", lambda: self._reference_logps(view, mismatched))

    def _reference_logps(self, view: Data, mismatched: bool) -> Artefact:
        fields: dict[str, Any] = {
            "policy": self.sft.content,
            "load": self.base.loading,
            "rows": self.row_fields(view, Split.TRAIN),
        }
        if mismatched:
            fields["mismatched"] = True

        def build(work: Workspace) -> Mapping[str, Any]:
            known = self.mismatched_rows() if mismatched else rows.completions(self, view)
            policy = self.policy(self.sft)
            return reference.write_reference(policy, known, work.out, batch=2 * SCORING_ROWS, pad_id=self.base.pad_id)

        what = " of mismatched labels" if mismatched else "" if view is Data.PAIRS else f" of {view}"
        return self.store.produce(self.key("reference", fields, reference), build, label=f"reference log-probs{what}")

    def mismatched_rows(self) -> Sequence[reference.Row]:
        """Prompts of the training labels, each with a completion of another prompt."""
        longest = self.base.limits().max_length
        return self.once("mismatched", lambda: mismatch(self.label_rows(Split.TRAIN), longest))

    @cached_property
    def policy_of_method(self) -> Artefact:
        """What the run is about."""
        job = self.job
        if self.method.sampler:
            return self.store.produce(sampled.key(job), lambda work: sampled.build(job, work), label=job.label)
        return self.trained(job.config, job.label, job.seeds)

    @property
    def job(self) -> Trained:
        """The training, or the sampler, that the run is about."""
        config, label = self.settings.algo, f"{self.settings.algo.name}, seed {self.settings.seed}"
        return Trained(self, self.method, config, label, self._method_seeds(), Split.TRAIN)

    def inner(self, config: MethodConfig) -> Artefact:
        """The result of a method that the run's own builds on."""
        return self.trained(config, config.name, self._method_seeds())

    def sampler(self, artefact: Artefact, temperature: float) -> Sampler:
        """What to sample from: a stored policy, or the run's own method where it acts at inference."""
        return sampled.sampler(self, artefact, self.job, temperature)

    def _method_seeds(self) -> Seeds:
        """A method that starts from nothing is a stage, and moves with the other stages."""
        return self.settings.seeds if self.method.needs.sft else self.settings.stage_seeds

    def trained(self, config: MethodConfig, label: str, seeds: Seeds, part: Split = Split.TRAIN) -> Artefact:
        """The result of training any method, with everything it declares built first."""
        method = registry.method(config.method)
        job = Trained(self, method, config, label, seeds, part)
        return self.store.produce(job.key, lambda work: train(job, work), label=label)

    def key(self, kind: str, fields: Mapping[str, Any], *targets: Any) -> StageKey:
        """Address of a stage: what it reads, the libraries it computes with, the code it reaches."""
        return StageKey(kind, {**fields, "libraries": environment(), "code": source_hashes(*targets, *LOADING)})

    def sampling_fields(self) -> dict[str, Any]:
        """What a stage that samples completions depends on, beside policy, prompts and seeds."""
        rollout, base = self.settings.rollout, self.base
        return {
            "rollout": {"max_new_tokens": rollout.max_new_tokens, "engine": rollout.engine},
            "load": base.loading,
            "end_ids": base.end_ids,
            "template": base.template,
            "limits": base.limits(prompts=True),
            "engine_code": source_hashes("alignlab.rollout.engine"),
        }

    def pair_fields(self, part: Split) -> dict[str, Any]:
        """What a stage that reads tokenised pairs depends on."""
        base = self.base
        where = {"pairs": self.preferences.content, "part": part, **self.label_fields(part)}
        return {**where, "template": base.template, "limits": base.limits()}

    def row_fields(self, view: Data, part: Split) -> dict[str, Any]:
        """What a stage that reads tokenised rows with completions depends on."""
        if view is Data.PAIRS or (view is Data.LABELS and self.labels_from_pairs):
            return {**({} if view is Data.PAIRS else {"view": view}), **self.pair_fields(part)}
        rows = self.source_address("demonstrations" if view is Data.DEMONSTRATIONS else "labels")
        seen = self.label_fields(part) if view is Data.LABELS else {}
        return {"view": view, **rows, **seen, "template": self.base.template, "limits": self.base.limits()}

    def stored_pairs(self, part: Split) -> Sequence[Pair]:
        """Text pairs of a part, read from the store when they are asked for."""
        return self.once(f"pairs-{part}", lambda: rows.stored_pairs(self, part))

    def label_fields(self, part: Split) -> dict[str, Any]:
        """What of the budget a stage that reads labels depends on."""
        limit = self.settings.budget.labels
        return {} if limit is None or part is not Split.TRAIN else {"labels": limit}

    def pair_rows(self, part: Split) -> Sequence[PairTokens]:
        """Tokenised pairs of a part; what was cut or dropped is said once."""
        return rows.pairs(self, part)

    def safety_rows(self, part: Split) -> Sequence[SafetyTokens]:
        """Tokenised safety labels of a part's pairs."""
        return rows.safety(self, part)

    def label_rows(self, part: Split) -> Sequence[LabelTokens]:
        """Tokenised labels of a part: both completions of each pair, judged one by one."""
        return rows.labels(self, part)

    @property
    def scored(self) -> bool:
        """Whether evaluation scores replies by reward models."""
        return self.labelled and self.settings.evaluation.reward_models

    @property
    def labelled(self) -> bool:
        """Whether there are preferences, so that reward models can be trained."""
        return Data.PAIRS in self.source.native or self.source.annotates or self.settings.annotator.judges

    @property
    def labels_from_pairs(self) -> bool:
        """Whether labels are the two sides of pairs: for lack of stored ones, or because an annotator is asked."""
        native = self.source.native
        return Data.PAIRS in native or Data.LABELS not in native or self.settings.annotator.judges

    def demonstration_rows(self, *, sampled: bool = False) -> Sequence[DemonstrationTokens]:
        """Tokenised demonstrations; with room for a sampled completion where their prompts are answered too."""
        return rows.demonstrations(self, sampled=sampled)

    def revisions(self, start: Artefact, config: RevisionConfig, seeds: Seeds) -> Artefact:
        """Samples of a policy as the run's annotator revised them."""
        return revised.produce(self, start, config, seeds, device(self.settings))

    def revision_rows(self, revisions: Artefact, *, every: bool) -> Sequence[DemonstrationTokens]:
        """Tokenised revisions: of every step, or the last."""
        return rows.revisions(self, revisions, every=every)

    def prompt_rows(self, split: Split, seeds: Seeds) -> Sequence[PromptTokens]:
        """Tokenised prompts of a split."""
        return rows.prompts(self, split, seeds)

    def policy(self, artefact: Artefact) -> Policy:
        """A new copy of a stored policy, in eval mode, on the device that inference uses.

        None asks for gradients: kernels may differ by that in the last bit, and references never do.
        """
        return self.base.stored_policy(artefact.file("model")).to(device(self.settings)).eval().requires_grad_(False)

    def scorer(self, artefact: Artefact) -> Scorer:
        """A new copy of a stored scorer, in eval mode, on the device that inference uses."""
        return self.base.stored_scorer(artefact.file("model")).to(device(self.settings)).eval()

    def engine(self, policy: Policy, *, temperature: float = 1.0, kind: str | None = None) -> Any:
        """What samples from a policy."""
        rollout = self.settings.rollout
        sampling = Sampling(max_new_tokens=rollout.max_new_tokens, temperature=temperature)
        return build_engine(
            policy.model, sampling, self.base.end_ids, self.base.pad_id, kind=kind or rollout.engine.value
        )

    def scorer_function(self, name: str) -> Any:
        """A declared scorer, ready to score rollouts; `reward` is what the configuration names."""
        if name == cost.NAME:
            return cost.scorer(self)
        return rewards.build(self, device(self.settings))

    def scorer_address(self, name: str) -> dict[str, Any]:
        """What a stage that uses a declared scorer depends on."""
        if name == cost.NAME:
            return cost.address(self)
        return rewards.address(self)

    def source_address(self, view: str = "all") -> dict[str, Any]:
        """What identifies the rows of a view: the source's settings and files, and the code that makes rows."""
        return {"rows": self.source.fingerprint(view), "code": source_hashes(type(self.source))}

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` gives, made once in this process."""
        if name not in self._read:
            self._read[name] = make()
        found: T = self._read[name]
        return found


def device(settings: RunConfig) -> str:
    """Where inference outside training runs: the CPU when training forks, since CUDA does not survive a fork."""
    return "cuda" if accelerator(settings.trainer) == "cuda" and settings.trainer.devices == 1 else "cpu"
