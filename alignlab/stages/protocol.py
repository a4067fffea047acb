"""What a stage may ask of the graph that runs it. Stages depend on this, the graph on the stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from alignlab.config import RunConfig
from alignlab.data.schema import Pair, Split
from alignlab.data.tokens import PairTokens, SafetyTokens
from alignlab.method import Data, Method, MethodConfig, RevisionConfig
from alignlab.models.policy import Policy
from alignlab.models.scorer import Scorer
from alignlab.seeding import Seeds
from alignlab.stages.artefact import Artefact
from alignlab.stages.key import StageKey
from alignlab.stages.store import Store


class Stages(Protocol):
    """Other stages' results, loaded models, tokenised rows, and the parts of keys that several stages share."""

    settings: RunConfig
    method: Method
    """What the run is about."""
    source: Any
    """A `data.schema.Source`."""
    base: Any
    """The untrained model: tokenizer, limits, end ids, address."""
    store: Store
    tracker: Any
    announce: Any
    """Tells the user one line."""

    @property
    def judge(self) -> Any:
        """Who says of a reply whether it refuses: a `verdicts.RunJudge`."""

    @property
    def labels_from_pairs(self) -> bool:
        """Whether labels are the two sides of pairs."""

    @property
    def scored(self) -> bool:
        """Whether evaluation scores replies by reward models."""

    @property
    def sft(self) -> Artefact:
        """The supervised policy."""

    def reference_logps(self, view: Data = Data.PAIRS, *, mismatched: bool = False) -> Artefact:
        """Log-probabilities of the training rows of a view under it."""

    def mismatched_rows(self) -> Sequence[Any]:
        """Prompts of the training labels, each with a completion of another prompt."""

    def trained(self, config: MethodConfig, label: str, seeds: Seeds, part: Split = Split.TRAIN) -> Artefact:
        """The result of training any method."""

    def row_fields(self, view: Data, part: Split) -> dict[str, Any]:
        """What tokenised rows of a view depend on."""

    def reward(self, part: Split = Split.TRAIN, member: int = 0) -> Artefact:
        """A reward model, by the part of the labels it was trained on, and which of several it is."""

    def cost(self) -> Artefact:
        """The cost model."""

    def stored_pairs(self, part: Split) -> Sequence[Pair]:
        """Text pairs of a part."""

    def pair_rows(self, part: Split) -> Sequence[PairTokens]:
        """Tokenised pairs of a part."""

    def safety_rows(self, part: Split) -> Sequence[SafetyTokens]:
        """Tokenised safety labels of a part's pairs."""

    def label_rows(self, part: Split) -> Sequence[Any]:
        """Tokenised labels of a part."""

    def demonstration_rows(self, *, sampled: bool = False) -> Sequence[Any]:
        """Tokenised demonstrations."""

    def revisions(self, start: Artefact, config: RevisionConfig, seeds: Seeds) -> Artefact:
        """Samples of a policy as the run's annotator revised them."""

    def revision_rows(self, revisions: Artefact, *, every: bool) -> Sequence[Any]:
        """Tokenised revisions: of every step, or the last."""

    def prompt_rows(self, split: Split, seeds: Seeds) -> Sequence[Any]:
        """Tokenised prompts of a split."""

    def policy(self, artefact: Artefact) -> Policy:
        """A new copy of a stored policy."""

    def scorer(self, artefact: Artefact) -> Scorer:
        """A new copy of a stored scorer."""

    def engine(self, policy: Policy, *, temperature: float = 1.0, kind: str | None = None) -> Any:
        """What samples from a policy."""

    def sampler(self, artefact: Artefact, temperature: float) -> Any:
        """What to sample from: a stored policy, or the run's own method where it acts at inference."""

    def scorer_function(self, name: str) -> Any:
        """A declared scorer, ready to score rollouts."""

    def scorer_address(self, name: str) -> dict[str, Any]:
        """What identifies it in a key."""

    def source_address(self, view: str = "all") -> dict[str, Any]:
        """What identifies the rows of a view of the data source."""

    def sampling_fields(self) -> dict[str, Any]:
        """What sampling depends on."""

    def pair_fields(self, part: Split) -> dict[str, Any]:
        """What tokenised pairs depend on."""

    def label_fields(self, part: Split) -> dict[str, Any]:
        """What of the budget a stage that reads labels depends on."""

    def key(self, kind: str, fields: Mapping[str, Any], *targets: Any) -> StageKey:
        """The address of a stage."""
