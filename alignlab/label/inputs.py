"""What there is to label: completions of several methods to the same requests, from runs or from plain rows.

Runs are joined by (prompt id, attempt), plain rows by their prompt. Runs that differ only by their seeds are one
method. Completions to real harmful requests stay out unless they are asked for. Torch-free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from alignlab.data.readers import Record, read
from alignlab.data.schema import Demonstration, Label, Pair, Prompt
from alignlab.data.shapes import Parser, Skipped, detect
from alignlab.errors import DataError
from alignlab.evaluation.record import Sample, read_samples
from alignlab.evaluation.summary import HARMFUL
from alignlab.label.runs import SAMPLES, SFT, Run, folders, run_of, title

_NAMES = ("method", "model", "source")
"""Columns of a plain row that may say whose completion it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One completion and whose it is, which the annotator never sees while labelling."""

    text: str
    method: str
    """The method's preset, with the settings in which it differs from others of that name."""
    run: str
    """The run's folder, or the file of plain rows."""
    seed: int | None = None
    ended: bool = True
    """False where the completion was cut at the longest length."""
    settings: str = ""
    """Digest of the run's settings but for seeds; '' for plain rows and the SFT policy."""


@dataclass(frozen=True, slots=True)
class Request:
    """One attempt at a prompt and what each method answered, one completion a run."""

    prompt: Prompt
    attempt: int
    candidates: dict[str, list[Candidate]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that can be asked about."""

    requests: list[Request]
    methods: list[str]
    """In the order they were met."""
    notes: list[str]
    """What was left out and why, a line each."""


def load(
    paths: Sequence[str | Path], *, reveal: bool = False, kinds: Collection[str] = (), with_sft: bool = False
) -> Inputs:
    """Read run folders, folders of runs, samples.jsonl, or rows with a prompt and completions.

    `kinds` keeps only requests of these kinds; `with_sft` lets the SFT policy take part, which it does by itself
    where a single method was given. Raises DataError when no request has completions of two methods.
    """
    runs, notes, rows = _sorted_out(paths)
    requests: dict[tuple[str, int], Request] = {}
    withheld = _Counted()
    single = len({run.identity for run in runs}) == 1 and not rows
    for run in runs:
        for sample in withheld.kept(read_samples(run.samples), reveal):
            _add(requests, sample.prompt, sample.attempt, _of_sample(run, title(run, runs), sample, with_sft or single))
    attempts: Counter[tuple[str, str]] = Counter()
    for prompt, candidate in rows:
        if prompt.kind == HARMFUL and not reveal:
            withheld.count += 1
            continue
        attempt = attempts[prompt.id, candidate.method]
        attempts[prompt.id, candidate.method] += 1
        _add(requests, prompt, attempt, [candidate])
    if withheld.count:
        notes.append(f"{withheld.count:,} completions to real harmful requests are left out; --reveal takes them in")
    found = [each for each in requests.values() if len(each.candidates) > 1]
    found = _of_kinds(found, kinds)
    if not found:
        raise DataError(
            f"no request has completions of two methods in {', '.join(map(str, paths))}",
            "give runs on the same data, or rows of one prompt each by two methods; see docs/label.md",
        )
    return Inputs(found, list(dict.fromkeys(chain.from_iterable(each.candidates for each in found))), notes)


def _sorted_out(paths: Sequence[str | Path]) -> tuple[list[Run], list[str], list[tuple[Prompt, Candidate]]]:
    """Runs, notes on what is no run, and plain rows."""
    runs: list[Run] = []
    notes: list[str] = []
    rows: list[tuple[Prompt, Candidate]] = []
    for path in map(Path, paths):
        if path.is_dir():
            complete, unfinished = folders(path)
            runs += [run_of(folder / SAMPLES) for folder in complete]
            notes += [f"{folder} is left out: its run has not finished" for folder in unfinished]
        elif _is_samples(path):
            runs.append(run_of(path))
        else:
            rows += _rows(path)
    return list(dict.fromkeys(runs)), notes, rows


def _is_samples(path: Path) -> bool:
    if not path.is_file():
        raise DataError(f"there is no {path}", "name a run folder, a sweep folder, or a file of completions")
    first = next(read([path]))
    return "schema" in first.values and "attempt" in first.values


class _Counted:
    """Drops harmful requests whose true score nobody knows, which only real data has, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def kept(self, samples: Iterable[Sample], reveal: bool) -> Iterator[Sample]:
        for sample in samples:
            if sample.prompt.kind == HARMFUL and sample.gold is None and not reveal:
                self.count += 1
            else:
                yield sample


def _of_sample(run: Run, method: str, sample: Sample, with_sft: bool) -> list[Candidate]:
    place, seed, settings = str(run.folder), run.seed, run.identity[1] if method != SFT else ""
    found = [Candidate(text=sample.text, method=method, run=place, seed=seed, ended=sample.ended, settings=settings)]
    if with_sft and sample.sft is not None:
        twin = sample.sft
        found.append(Candidate(text=twin.text, method=SFT, run=place, seed=seed, ended=twin.ended))
    return found


def _add(
    requests: dict[tuple[str, int], Request], prompt: Prompt, attempt: int, candidates: Iterable[Candidate]
) -> None:
    request = requests.setdefault((prompt.id, attempt), Request(prompt, attempt))
    for candidate in candidates:
        request.candidates.setdefault(candidate.method, []).append(candidate)


def _of_kinds(requests: list[Request], kinds: Collection[str]) -> list[Request]:
    there = {request.prompt.kind for request in requests}
    unknown = sorted(set(kinds) - there)
    if unknown and requests:
        listed = ", ".join(sorted(kind or "(none)" for kind in there))
        raise DataError(f"there is no request of kind {unknown[0]!r}", f"choose --kinds from {listed}")
    return [request for request in requests if not kinds or request.prompt.kind in kinds]


def _rows(path: Path) -> Iterator[tuple[Prompt, Candidate]]:
    """Completions of plain rows; rows without content are passed over as they are in training."""
    parser = Parser()
    for record in read([path]):
        try:
            prompt, texts = _row(record, parser, path)
        except Skipped:
            continue
        for method, text in texts.items():
            yield prompt, Candidate(text=text, method=method, run=str(path))


def _row(record: Record, parser: Parser, path: Path) -> tuple[Prompt, dict[str, str]]:
    if "completions" in record.values:
        prompt = parser.parse(record, "prompts")
        assert isinstance(prompt, Prompt)
        return prompt, _several(record, record.values["completions"])
    row = parser.parse(record, detect(record, parser))
    if isinstance(row, Pair):
        return row.prompt, {"chosen": row.chosen.text, "rejected": row.rejected.text}
    if isinstance(row, Demonstration | Label):
        return row.prompt, {_whose(record.values, path.name.partition(".")[0]): row.completion.text}
    raise DataError(
        f"{record.where}: a prompt without completions",
        'write {"prompt": …, "completions": {"method a": …, "method b": …}}',
    )


def _several(record: Record, value: Any) -> dict[str, str]:
    """The completions of a row by method: a mapping, or a list whose items may say whose they are."""
    if isinstance(value, list):
        value = {_whose(item, f"completion {place}"): _text(item) for place, item in enumerate(value, start=1)}
    if not isinstance(value, dict) or len(value) < 2 or not all(isinstance(text, str) for text in value.values()):
        raise DataError(
            f"{record.where}: completions must be two texts or more, each of another method",
            'write {"completions": {"method a": "…", "method b": "…"}}, or a list of texts',
        )
    return {str(method): text for method, text in value.items()}


def _whose(item: Any, default: str) -> str:
    named = [str(item[name]) for name in _NAMES if item.get(name)] if isinstance(item, dict) else []
    return named[0] if named else default


def _text(item: Any) -> Any:
    return item.get("text", item.get("content")) if isinstance(item, dict) else item
