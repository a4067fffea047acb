"""The rows everything is made of. Text only: tokens come later, once, in `data.tokens`.

Torch-free, so that sources, judges and the comparison can use it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from alignlab.errors import DataError
from alignlab.method import Data
from alignlab.seeding import Seeds


class Message(NamedTuple):
    """One turn of a conversation; role is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a completion answers: a conversation ending in a user turn, or verbatim text, never both."""

    id: str
    """Stable and unique within a source: the same prompt has the same id in every run."""
    messages: tuple[Message, ...] = ()
    text: str | None = None
    """Verbatim text, to which no chat template is applied."""
    kind: str = ""
    """Stratum for reporting, such as benign, lookalike, harmful."""
    attack: str = ""
    """The adversarial transformation applied, '' for a direct request."""
    base: str = ""
    """The request before any attack: the unit of splitting and of counting goals. Defaults to `id`."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What the source's own gold or judge needs to know."""

    def __post_init__(self) -> None:
        if bool(self.messages) == (self.text is not None):
            raise DataError(f"prompt {self.id!r} must have either messages or text")
        if not self.base:
            object.__setattr__(self, "base", self.id)

    def show(self) -> str:
        """Readable form for tables and samples."""
        if self.text is not None:
            return self.text
        if len(self.messages) == 1:
            return self.messages[0].content
        return "\n".join(f"{message.role}: {message.content}" for message in self.messages)


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer. Sampled answers carry their token ids, which are never re-encoded from text."""

    text: str
    ids: tuple[int, ...] | None = None
    """Tokens as sampled, the end token included when it was produced; None for written text."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A prompt with a completion to imitate."""

    prompt: Prompt
    completion: Completion


class Safety(NamedTuple):
    """What was said about the harm of two completions of one prompt, preferred or not."""

    harmful: tuple[bool, bool]
    """Whether each is harmful; first chosen, then rejected where they are those of a pair."""
    worse: int | None
    """The more harmful one, 0 or 1; None where no order was given."""

    @property
    def swapped(self) -> Safety:
        """The same of the two completions in the other order."""
        return Safety((self.harmful[1], self.harmful[0]), None if self.worse is None else 1 - self.worse)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two completions of one prompt, one preferred."""

    prompt: Prompt
    chosen: Completion
    rejected: Completion
    margin: float | None = None
    """How much better chosen is, in preference logits, where the annotator says so."""
    probability: float | None = None
    """P(chosen preferred) where labels are soft."""
    safety: Safety | None = None
    """Safety labels of chosen and rejected, where there are any."""


@dataclass(frozen=True, slots=True)
class Label:
    """One completion judged desirable or not."""

    prompt: Prompt
    completion: Completion
    desirable: bool


Row = Prompt | Demonstration | Pair | Label


class Split(StrEnum):
    """Disjoint sets of base requests. Assigned by a stable hash of `Prompt.base`, so never by order or seed."""

    TRAIN = "train"
    HELD_OUT = "held_out"  # labels of the held-out reward model: selection and judging, never trained against
    VALIDATION = "validation"
    EVALUATION = "evaluation"


class Verdict(StrEnum):
    """A judge's view of one reply."""

    REFUSED = "refused"
    PARTIAL = "partial"  # evasion, or partly complied
    COMPLIED = "complied"


class Source(Protocol):
    """Where prompts, demonstrations, labels and gold come from. Built by a `Component` from its typed config.

    What is random in its rows comes from the seed stream `world`. A source whose rows are the same under all seeds may
    say so by `seeded = False`: they are tokenised once for all.
    A source that annotates may also judge harm, by two more methods:
    `safety(prompt, first, second, seeds, index, ended) -> Safety`, an annotator's labels, given as `prefer` gives its;
    `harm(prompt, completion, ended) -> float`, the truth behind them: above 0 where a completion is harmful.
    """

    name: str
    native: frozenset[Data]
    """The views that exist as stored rows. Pairs that are not native are sampled from the SFT policy and
    labelled by `prefer`."""

    annotates: bool
    """Whether `prefer` answers."""

    def fingerprint(self, view: str = "all") -> str:
        """Hash of everything the rows depend on, file contents included; goes into stage keys.

        `view` (all, demonstrations, labels, evaluation) may narrow it to what the rows of that view depend on, so
        that a stage stays valid when settings of another view change.
        """
        ...

    def tokenizer(self) -> Any | None:
        """The vocabulary this source brings along, or None when the model brings its own."""
        ...

    def prompts(self, split: Split, seeds: Seeds) -> Sequence[Prompt]:
        """Prompts of a split. VALIDATION and EVALUATION do not depend on `seeds`."""
        ...

    def demonstrations(self, seeds: Seeds) -> Sequence[Demonstration]:
        """Training demonstrations, never on requests of VALIDATION or EVALUATION."""
        ...

    def pairs(self, split: Split) -> Sequence[Pair]:
        """Stored pairs of a split; only when Data.PAIRS is native."""
        ...

    def prefer(
        self, prompt: Prompt, first: str, second: str, seeds: Seeds, index: int, ended: tuple[bool, bool] = (True, True)
    ) -> float | None:
        """P-label of an annotator: 1.0 first preferred, 0.0 second, in between for soft labels.

        None when this source has no annotator. `index` makes the annotator's noise a function of the row.
        """
        ...

    def gold(self, prompt: Prompt, completion: str, ended: bool) -> float | None:
        """The true score where it is known, else None. No method may see it during training."""
        ...

    def judge(self) -> str | None:
        """Name of the judge plugin whose verdicts are exact here, or None."""
        ...
