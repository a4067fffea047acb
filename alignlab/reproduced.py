"""Two run folders of the same settings, figure by figure: identical bits, within a tolerance, or different.

What names a time or a place is left out: seconds, memory, addresses in the store. Torch-free.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from alignlab.evaluation.record import Sample, read_samples
from alignlab.evaluation.result import read_result
from alignlab.recorded import RESULT, Record, changed
from alignlab.stages.files import sha256_file
from alignlab.stages.key import flatten
from alignlab.tracking.console import results
from alignlab.tracking.table import read_columns

METRICS = ("metrics", "health")
"""Figures shown one by one."""
SECTIONS: Mapping[str, str] = {
    "errors": "standard errors",
    "missing": "figures that are missing",
    "wins": "wins",
    "strata": "figures by kind of request",
    "posture": "figures of attacks",
    "change": "changes over SFT",
    "sft": "figures of SFT",
    "flags": "flags",
    "costs": "costs",
}
"""Figures counted, by section of result.json."""
PLACES = ("seconds", "memory")
"""Costs whose names hold these belong to a machine."""
TEXTS = ("samples.jsonl", "attacks.jsonl")


class Verdict(StrEnum):
    """What became of a figure."""

    IDENTICAL = "identical"
    WITHIN = "within tolerance"
    DIFFERS = "differs"


STYLES = {Verdict.IDENTICAL: "green", Verdict.WITHIN: "yellow", Verdict.DIFFERS: "bold red"}


@dataclass(frozen=True)
class Line:
    """One figure, then and now. None: it is not there."""

    section: str
    name: str
    then: Any
    now: Any
    verdict: Verdict


@dataclass(frozen=True)
class Texts:
    """Replies of a file, the twins of SFT included, by what became of them."""

    file: str
    count: int
    differing: Sequence[tuple[str, int]]
    """Prompt id and attempt of those that differ or are missing on one side."""


@dataclass(frozen=True)
class Comparison:
    """A run and its repetition."""

    folders: tuple[Path, Path]
    tolerance: float
    surroundings: Mapping[str, tuple[Any, Any]]
    """Versions, processor and threads that differ: name -> (then, now)."""
    lines: Sequence[Line]
    texts: Sequence[Texts]

    @property
    def worst(self) -> Verdict:
        """Of all figures."""
        found = {line.verdict for line in self.lines if line.section != "weights"}
        return next((v for v in (Verdict.DIFFERS, Verdict.WITHIN) if v in found), Verdict.IDENTICAL)

    @property
    def bits(self) -> bool:
        """Whether every figure, the weights and every reply are the same."""
        same = all(line.verdict is Verdict.IDENTICAL for line in self.lines)
        return same and not any(each.differing for each in self.texts)

    @property
    def same(self) -> bool:
        """The same bits; or, where something around the run differs, every figure within the tolerance."""
        return self.bits or (bool(self.surroundings) and self.worst is not Verdict.DIFFERS)


def compare(then: Record, now: Record, tolerance: float) -> Comparison:
    """Compare the folders of two finished runs. StoreError or DataError for a file that cannot be read."""
    first, second = (read_result(record.folder / RESULT) for record in (then, now))
    lines = list(_numbers(_figures(first), _figures(second), tolerance))
    curves = [dict(_curve(record.folder)) for record in (then, now)]
    lines += _numbers(curves[0], curves[1], tolerance)
    weights = [_weights(record.folder, result) for record, result in ((then, first), (now, second))]
    if weights[0] and weights[1]:
        verdict = Verdict.IDENTICAL if weights[0] == weights[1] else Verdict.DIFFERS
        lines.append(Line("weights", "model", weights[0], weights[1], verdict))
    return Comparison(
        folders=(then.folder, now.folder),
        tolerance=tolerance,
        surroundings=changed(then.versions, now.versions) | changed(then.machine, now.machine),
        lines=lines,
        texts=[_texts(then.folder, now.folder, name) for name in TEXTS if (then.folder / name).is_file()],
    )


Figures = dict[tuple[str, str], Any]


def _figures(result: Mapping[str, Any]) -> Figures:
    """Every figure of a result by section and dotted name."""
    found: Figures = {}
    for section in (*METRICS, *SECTIONS):
        for name, value in flatten(result.get(section) or {}):
            if name and not (section == "costs" and any(word in name for word in PLACES)):
                found[section, name] = value
    return found


def _curve(folder: Path) -> Iterator[tuple[tuple[str, str], Any]]:
    for name, values in read_columns(folder / "metrics.csv").items():
        yield from ((("curve", f"{name} {row}"), value) for row, value in enumerate(values))


def _weights(folder: Path, result: Mapping[str, Any]) -> str | None:
    """What identifies the trained weights: the content the store noted, else that of the files kept."""
    noted = (result.get("fingerprints") or {}).get("policy_content")
    files = sorted((folder / "model").glob("*.safetensors"))
    return noted or ("-".join(sha256_file(path) for path in files) or None)


def _numbers(then: Figures, now: Figures, tolerance: float) -> Iterator[Line]:
    for section, name in [*then, *(key for key in now if key not in then)]:
        a, b = then.get((section, name)), now.get((section, name))
        yield Line(section, name, a, b, verdict(a, b, tolerance))


def verdict(then: Any, now: Any, tolerance: float) -> Verdict:
    """Whether two figures are equal, close (relatively, or absolutely below 1), or neither."""
    if then == now:
        return Verdict.IDENTICAL
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in (then, now)]
    if all(numbers) and math.isclose(then, now, rel_tol=tolerance, abs_tol=tolerance):
        return Verdict.WITHIN
    return Verdict.DIFFERS


def _texts(then: Path, now: Path, name: str) -> Texts:
    first, second = ({sample.key: _said(sample) for sample in read_samples(folder / name)} for folder in (then, now))
    keys = [*first, *(key for key in second if key not in first)]
    return Texts(name, len(keys), [key for key in keys if first.get(key) != second.get(key)])


def _said(sample: Sample) -> tuple[str, str | None]:
    return sample.text, sample.sft.text if sample.sft else None


def show(found: Comparison) -> None:
    """Print the comparison, what surrounds the run first. Text of replies is not printed: some must not be shown."""
    for name, (then, now) in found.surroundings.items():
        results.print(Text.assemble((f"{name}: ", "bold"), f"{then} then, {now} now"), soft_wrap=True)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("figure", overflow="fold")
    for heading in ("then", "now"):
        grid.add_column(heading, justify="right", no_wrap=True)
    grid.add_column("", no_wrap=True)
    for line in found.lines:
        if line.section in METRICS:
            grid.add_row(line.name, _shown(line.then), _shown(line.now), _word(line.verdict))
    for line in found.lines:
        if line.section == "weights":
            grid.add_row("trained weights", line.then[:12], line.now[:12], _word(line.verdict))
    results.print(grid)
    for text in _counted(found):
        results.print(text, soft_wrap=True)
    results.print(Text(_sentence(found), style="bold"), soft_wrap=True)


def _shown(value: Any) -> str:
    return "–" if value is None else f"{value:.7g}" if isinstance(value, float) else str(value)


def _word(verdict: Verdict) -> Text:
    return Text(verdict.value, style=STYLES[verdict])


def _counted(found: Comparison) -> Iterator[Text]:
    """One line for each section that is not shown figure by figure, then for the replies."""
    for section, label in {**SECTIONS, "curve": "figures of the training curve"}.items():
        lines = [line for line in found.lines if line.section == section]
        counts = Counter(line.verdict for line in lines)
        told = ", ".join(f"{counts[each]} {each.value}" for each in Verdict if counts[each])
        if lines:
            worst = next(each for each in reversed(Verdict) if counts[each])
            first = next((line.name for line in lines if line.verdict is Verdict.DIFFERS), "")
            yield Text.assemble(f"{label}: ", (told, STYLES[worst]), f" (first: {first})" if first else "")
    for each in found.texts:
        yield _replies(each)


def _replies(texts: Texts) -> Text:
    if not texts.differing:
        return Text.assemble(f"{texts.file}: ", (f"all {texts.count} replies identical", "green"))
    prompt, attempt = texts.differing[0]
    where = f" (first: attempt {attempt} at prompt {prompt})"
    return Text.assemble(
        f"{texts.file}: ", (f"{len(texts.differing)} of {texts.count} replies differ", "bold red"), where
    )


def _sentence(found: Comparison) -> str:
    now = found.folders[1]
    if found.bits:
        return f"the same to the last bit: {now}"
    if found.same:
        around = ", ".join(found.surroundings)
        return f"every figure within {found.tolerance:g}, where {around} differ: {now}"
    why = "" if found.surroundings else ", though versions, processor and threads are the same"
    figures = Counter(line.verdict for line in found.lines)
    return f"NOT the same{why}: {figures[Verdict.DIFFERS]} figures differ beyond {found.tolerance:g}: {now}"
