"""Rows as token ids, made once: what fits stays, what does not is dropped, and every decision is counted.

The end token closes written completions only; sampled ones keep their ids and are never encoded again.
A prompt too long loses tokens on the left, the same ones for both completions of a pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from alignlab.data.encode import Encoder
from alignlab.data.schema import Completion, Demonstration, Label, Pair, Prompt, Row, Safety
from alignlab.errors import ConfigError, DataError
from alignlab.method import Data

Array = np.ndarray
"""Token ids, int32, one dimension."""
BLOCK = 256
"""Rows whose texts are encoded in one call."""


@dataclass(frozen=True)
class Limits:
    """How many tokens a row may have, special tokens included."""

    max_length: int
    """Prompt and completion together: the model's context at most."""
    max_prompt: int | None = None
    """Longer prompts lose tokens on the left. None leaves what `max_completion` or the completion leaves."""
    max_completion: int | None = None
    """Rows with a longer completion are dropped: a completion is never cut."""
    min_prompt: int = 8
    """Rows whose prompt would keep fewer tokens than this after truncation are dropped."""

    def __post_init__(self) -> None:
        parts = {"max_prompt": self.max_prompt, "max_completion": self.max_completion}
        for name, value in parts.items():
            if value is not None and not 1 <= value < self.max_length:
                raise ConfigError(
                    f"data.{name}={value} must lie between 1 and data.max_length={self.max_length} exclusive",
                    f"lower data.{name} or raise data.max_length",
                )
        if (self.max_prompt or 0) + (self.max_completion or 0) > self.max_length:
            raise ConfigError(
                f"data.max_prompt={self.max_prompt} and data.max_completion={self.max_completion} together "
                f"exceed data.max_length={self.max_length}",
                "lower one of the two or raise data.max_length",
            )

    def room(self, completion: int = 1) -> int:
        """Tokens a prompt may have beside a completion of this length.

        With `max_completion` set the answer does not depend on the completion, so that a prompt is cut at the
        same place for demonstrations, pairs and sampling.
        """
        if self.max_prompt is not None:
            return min(self.max_prompt, self.max_length - completion)
        return self.max_length - max(completion, self.max_completion or 0)


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """A prompt ready for generation."""

    row: int
    """Position in the rows that were tokenised; the same field in the other views."""
    source: Prompt
    prompt: Array
    truncated: bool


@dataclass(frozen=True, slots=True)
class DemonstrationTokens:
    """A prompt and a completion to imitate."""

    row: int
    prompt: Array
    completion: Array
    truncated: bool


@dataclass(frozen=True, slots=True)
class PairTokens:
    """One prompt, two completions."""

    row: int
    prompt: Array
    chosen: Array
    rejected: Array
    margin: float | None
    probability: float | None
    truncated: bool


@dataclass(frozen=True, slots=True)
class SafetyTokens:
    """One prompt, two completions judged for harm, the more harmful one first where that was said."""

    row: int
    prompt: Array
    worse: Array
    better: Array
    harmful: tuple[bool, bool]
    """Whether each is harmful."""
    ordered: bool
    """Whether it was said which is more harmful."""
    truncated: bool


@dataclass(frozen=True, slots=True)
class LabelTokens:
    """A prompt and a completion judged desirable or not."""

    row: int
    prompt: Array
    completion: Array
    desirable: bool
    truncated: bool


@dataclass
class Report:
    """What tokenisation did to the rows of one view."""

    view: str
    template: str
    limits: Limits
    bos: int | None = None
    end: int | None = None
    rows: int = 0
    kept: int = 0
    truncated: int = 0
    """Prompts that lost tokens on the left."""
    too_long: int = 0
    """Dropped: the completion leaves less than `min_prompt` of the prompt."""
    long_completion: int = 0
    """Dropped: the completion exceeds `max_completion`."""
    identical: int = 0
    """Dropped: both completions of a pair are the same."""
    empty: int = 0
    """Dropped: a completion without text."""
    apart: int = 0
    """Completions encoded apart from their prompt, since the tokenizer would merge across the boundary."""
    marker: int = 0
    """Completions that the chat template opens differently from its own generation marker."""
    special: int = 0
    """Completions whose text spells a special token, which was encoded as ordinary text."""
    longest: int = 0
    """Tokens of the longest kept row."""
    notes: list[str] = field(default_factory=list)

    def remedy(self) -> str:
        """What would keep more rows."""
        if self.long_completion > self.too_long:
            return "raise data.max_completion, and data.max_length with it"
        return "raise data.max_length" if self.too_long else "check the data"

    def lines(self) -> list[str]:
        """One sentence a line for the terminal; silent about what did not happen."""
        dropped = [
            (self.too_long, f"dropped, too long for max_length={self.limits.max_length}"),
            (self.long_completion, f"dropped, completion beyond max_completion={self.limits.max_completion}"),
            (self.identical, "dropped, both completions the same"),
            (self.empty, "dropped, empty completion"),
            (self.truncated, "prompts shortened on the left"),
            (self.apart, "completions encoded apart from their prompt"),
            (self.marker, "completions opened differently from the template's generation marker"),
            (self.special, "completions spell a special token, encoded as ordinary text"),
        ]
        head = f"{self.view}: {self.kept:,} of {self.rows:,} rows, longest {self.longest} tokens"
        return [head, *(f"  {count:,} {what}" for count, what in dropped if count), *self.notes]


Out = TypeVar("Out")
Make = Callable[[int, Array, list[Array], bool], Out]
"""Row, prompt, completions and whether the prompt was truncated -> a tokenised row."""


class _Run:
    """One pass over the rows of a view."""

    def __init__(self, view: str, tokenizer: Any, limits: Limits, template: str) -> None:
        self.encoder = Encoder(tokenizer, template)
        self.limits = limits
        self.report = Report(view, self.encoder.template.name, limits, self.encoder.bos)
        self.conversations = False

    def row(self, row: int, prompt: Prompt, completions: Sequence[Completion], make: Make[Out]) -> Out | None:
        """One tokenised row, or None when it is dropped and counted."""
        self.report.rows += 1
        if any(_empty(completion) for completion in completions):
            self.report.empty += 1
            return None
        self.conversations |= prompt.text is None
        start = self._start(prompt)
        answers = [self.encoder.answer(prompt, completion) for completion in completions]
        if len(answers) == 2 and _same(completions, answers):
            self.report.identical += 1
            return None
        longest = max(map(len, answers), default=1)
        room = self.limits.room(longest)
        cut = len(start) > room
        if longest > (self.limits.max_completion or longest):
            self.report.long_completion += 1
            return None
        if cut and room < max(1, self.limits.min_prompt):
            self.report.too_long += 1
            return None
        start = self._shorten(start, room)
        self.report.kept += 1
        self.report.truncated += cut
        self.report.longest = max(self.report.longest, len(start) + longest * bool(answers))
        return make(row, np.array(start, np.int32), [np.array(ids, np.int32) for ids in answers], cut)

    def _start(self, prompt: Prompt) -> list[int]:
        ids = self.encoder.prompt(prompt)
        if ids:
            return ids
        raise DataError(
            f"prompt {prompt.id!r} has no tokens, so that nothing predicts the first token of its completion",
            "give the prompt some text, or use a tokenizer that starts rows with a BOS token",
        )

    def _shorten(self, ids: list[int], room: int) -> list[int]:
        """The last `room` tokens, a leading BOS among them."""
        if len(ids) <= room:
            return ids
        bos = self.encoder.tokenizer.bos_token_id
        if bos is not None and ids[0] == bos:
            return [bos, *ids[len(ids) - room + 1 :]]
        return ids[len(ids) - room :]

    def ahead(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The same rows, whose texts are encoded a block at a time."""
        waiting = iter(rows)
        while block := list(islice(waiting, BLOCK)):
            self.encoder.read_ahead(map(_said, block))
            yield from block

    def finish(self) -> Report:
        """The report; DataError when no row stayed."""
        report, encoder = self.report, self.encoder
        if not report.kept:
            raise DataError(
                f"no {report.view} left to train on: {'; '.join(line.strip() for line in report.lines())}",
                report.remedy(),
            )
        report.apart, report.marker, report.special = (encoder.counts[name] for name in ("apart", "marker", "special"))
        if report.view != "prompts":
            report.end = encoder.end
        if self.conversations and not getattr(encoder.tokenizer, "chat_template", None):
            report.notes.append(f"  the model has no chat template: conversations use {report.template!r}")
        return report


def _said(row: Row) -> tuple[Prompt, tuple[Completion, ...]]:
    """The prompt of a row and the completions that are encoded with it."""
    if isinstance(row, Prompt):
        return row, ()
    return row.prompt, (row.chosen, row.rejected) if isinstance(row, Pair) else (row.completion,)


def _empty(completion: Completion) -> bool:
    return not completion.text.strip() if completion.ids is None else not completion.ids


def _same(completions: Sequence[Completion], answers: Sequence[list[int]]) -> bool:
    sampled = all(completion.ids is not None for completion in completions)
    texts = {completion.text.strip() for completion in completions}
    return answers[0] == answers[1] or (not sampled and len(texts) == 1)


def _prompts(run: _Run, rows: Iterable[Prompt]) -> Iterator[PromptTokens | None]:
    def make(source: Prompt) -> Make[PromptTokens]:
        return lambda row, prompt, _, cut: PromptTokens(row, source, prompt, cut)

    return (run.row(i, prompt, (), make(prompt)) for i, prompt in enumerate(rows))


def _demonstrations(run: _Run, rows: Iterable[Demonstration]) -> Iterator[DemonstrationTokens | None]:
    def make(row: int, prompt: Array, answers: list[Array], cut: bool) -> DemonstrationTokens:
        return DemonstrationTokens(row, prompt, answers[0], cut)

    return (run.row(i, item.prompt, (item.completion,), make) for i, item in enumerate(rows))


def _pairs(run: _Run, rows: Iterable[Pair]) -> Iterator[PairTokens | None]:
    def make(pair: Pair) -> Make[PairTokens]:
        return lambda row, prompt, both, cut: PairTokens(
            row, prompt, both[0], both[1], pair.margin, pair.probability, cut
        )

    return (run.row(i, pair.prompt, (pair.chosen, pair.rejected), make(pair)) for i, pair in enumerate(rows))


def _safety(run: _Run, rows: Iterable[Pair]) -> Iterator[SafetyTokens | None]:
    def make(safety: Safety) -> Make[SafetyTokens]:
        first = safety.worse or 0
        harmful = safety.harmful[first], safety.harmful[1 - first]

        def tokens(row: int, prompt: Array, both: list[Array], cut: bool) -> SafetyTokens:
            return SafetyTokens(row, prompt, both[first], both[1 - first], harmful, safety.worse is not None, cut)

        return tokens

    judged = ((i, pair, pair.safety) for i, pair in enumerate(rows) if pair.safety is not None)
    return (run.row(i, pair.prompt, (pair.chosen, pair.rejected), make(safety)) for i, pair, safety in judged)


def _labels(run: _Run, rows: Iterable[Label]) -> Iterator[LabelTokens | None]:
    def make(label: Label) -> Make[LabelTokens]:
        return lambda row, prompt, answers, cut: LabelTokens(row, prompt, answers[0], label.desirable, cut)

    return (run.row(i, item.prompt, (item.completion,), make(item)) for i, item in enumerate(rows))


_VIEWS: Mapping[Data, tuple[str, Callable[[_Run, Iterable[Any]], Iterator[Any]]]] = {
    Data.PROMPTS: ("prompts", _prompts),
    Data.DEMONSTRATIONS: ("demonstrations", _demonstrations),
    Data.REVISIONS: ("demonstrations", _demonstrations),
    Data.PAIRS: ("pairs", _pairs),
    Data.SAFETY: ("safety labels", _safety),
    Data.LABELS: ("labels", _labels),
}


class TokenStream:
    """Rows of a view as token ids, one after another, so that no more than one need be in memory.

    Prompts are cut where training rows are cut; both completions of a pair have one prompt; pairs without safety
    labels are passed over in the view of those. Iterating ends in a DataError where no row stayed.
    """

    def __init__(self, view: Data, rows: Iterable[Any], tokenizer: Any, limits: Limits, template: str = "auto") -> None:
        name, self._view = _VIEWS[view]
        self._rows, self._run = rows, _Run(name, tokenizer, limits, template)
        self.report = self._run.report
        """What happened to the rows; whole once they have ended."""

    def __iter__(self) -> Iterator[Any]:
        for row in self._view(self._run, self._run.ahead(self._rows)):
            if row is not None:
                yield row
        self._run.finish()


def tokenise(
    view: Data, rows: Iterable[Any], tokenizer: Any, limits: Limits, template: str = "auto"
) -> tuple[list[Any], Report]:
    """All rows of a `TokenStream`, in memory. Raises DataError when none is left."""
    stream = TokenStream(view, rows, tokenizer, limits, template)
    return list(stream), stream.report
