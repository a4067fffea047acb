"""Rows as stages read them: parsed ones of stored sources, text pairs, and tokenised sets.

Parsed rows and tokenised sets are stages of the store, written as a stream and mapped into memory, once for all jobs
of a sweep. A tokenised set's address holds the rows' content, template, limits, tokenizer and the code that tokenises,
its record what was cut or dropped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from alignlab.data import tokenised
from alignlab.data.mapped import Lazy
from alignlab.data.rows import read_pairs, sides
from alignlab.data.schema import Pair, Split
from alignlab.data.sources import Place
from alignlab.data.tokens import (
    DemonstrationTokens,
    LabelTokens,
    Limits,
    PairTokens,
    PromptTokens,
    Report,
    SafetyTokens,
    TokenStream,
)
from alignlab.errors import AlignlabError
from alignlab.method import Data
from alignlab.seeding import Seeds
from alignlab.stages import revised
from alignlab.stages.artefact import Artefact
from alignlab.stages.fingerprint import source_hashes
from alignlab.stages.key import StageKey, environment
from alignlab.stages.store import Store, Workspace

FILE = "rows.arrow"
CODE = ("alignlab.stages.rows", "alignlab.models.load")
"""What decides how rows become tokens: this module with all that it reaches, and the loading of tokenizers."""
T = TypeVar("T")
Texts = Callable[[], Iterable[Any]]
"""Makes the rows to tokenise, in order."""
_EVALUATED = (Split.VALIDATION, Split.EVALUATION)


def place(
    store: Store, source: str, code: type, elsewhere: Place, fields: Mapping[str, Any], write: Callable[[Path], None]
) -> Path:
    """A folder of the store with the parsed rows of a source, written by `write` unless it is there.

    `code` is the source's class. Rows that a store lacks and may not keep lie `elsewhere`.
    """

    def build(work: Workspace) -> Mapping[str, Any]:
        with _nothing_left(work):
            write(work.out)
        return {}

    key = StageKey("rows", {**fields, "code": source_hashes(code)})
    if not (store.computes and _writable(store)) and store.get(key) is None:
        return elsewhere(fields, write)
    return store.produce(key, build, label=f"rows of data={source}").path


def _writable(store: Store) -> bool:
    return not store.root.exists() or os.access(store.root, os.W_OK)


@contextmanager
def _nothing_left(work: Workspace) -> Iterator[None]:
    """Rows that are refused leave no copy of the others behind: the next attempt starts anew in any case."""
    try:
        yield
    except AlignlabError:
        shutil.rmtree(work.path, ignore_errors=True)
        raise


def tokens(graph: Any, view: Data, fields: Mapping[str, Any], limits: Limits, texts: Texts) -> Sequence[Any]:
    """The tokenised set of the rows that `fields` identify, made of `texts` unless it is stored.

    What happened to the rows is said once in a process.
    """
    base = graph.base
    how = {"template": base.template, "limits": limits, "tokenizer": base.vocabulary}
    code = source_hashes(*CODE)
    key = StageKey("tokens", {"view": view, "rows": fields, **how, "libraries": environment(), "code": code})
    store: Store = graph.store

    def stream() -> TokenStream:
        return TokenStream(view, texts(), base.tokenizer, limits, base.template)

    def build(work: Workspace) -> Mapping[str, Any]:
        with _nothing_left(work):
            found = stream()
            tokenised.write_tokens(work.out / FILE, view, found)
        return {"report": asdict(found.report)}

    def opened() -> Sequence[Any]:
        if store.computes and not _writable(store) and store.get(key) is None:
            found = stream()
            kept: Sequence[Any] = list(found)  # in memory: there is nowhere to map them from
            report = asdict(found.report)
        else:
            artefact = store.produce(key, build, label=f"tokens of {view}")
            kept, report = tokenised.read_tokens(artefact.file(FILE), view), artefact.info["report"]
        for line in _told(report):
            graph.announce(line)
        return kept

    rows: Sequence[Any] = graph.once(key.name, opened)
    return rows


def _told(stored: Mapping[str, Any]) -> list[str]:
    """Lines of a stored report, where anything happened that a user should know."""
    report = Report(**{**stored, "limits": Limits(**stored["limits"])})
    return report.lines() if report.kept < report.rows or report.notes or report.truncated else []


def stored_pairs(graph: Any, part: Split) -> Sequence[Pair]:
    """Text pairs of a part that the budget allows."""
    return _within_budget(graph, part, read_pairs(graph.preferences.file(f"{part.value}.jsonl")))


def _within_budget(graph: Any, part: Split, rows: Sequence[T]) -> Sequence[T]:
    """The first labels, as many as the budget allows; those that no method sees are not counted."""
    limit = graph.label_fields(part).get("labels")
    if limit is None:
        return rows
    if limit > len(rows):
        graph.announce(f"budget.limit={limit:,} labels, and there are {len(rows):,}")
    return Lazy(min(limit, len(rows)), rows.__getitem__)


def pairs(graph: Any, part: Split) -> Sequence[PairTokens]:
    """Tokenised pairs of a part."""
    return _of_pairs(graph, Data.PAIRS, part, lambda: graph.stored_pairs(part))


def safety(graph: Any, part: Split) -> Sequence[SafetyTokens]:
    """Tokenised safety labels of a part's pairs."""
    return _of_pairs(graph, Data.SAFETY, part, lambda: graph.stored_pairs(part))


def labels(graph: Any, part: Split) -> Sequence[LabelTokens]:
    """Tokenised labels of a part: those of the source, or both completions of each pair, judged one by one."""
    if graph.labels_from_pairs:
        return _of_pairs(graph, Data.LABELS, part, lambda: sides(graph.stored_pairs(part)))
    known = graph.once(f"labels-{part}", lambda: _within_budget(graph, part, graph.source.labels(part)))
    fields = {**graph.source_address("labels"), "part": part, **graph.label_fields(part)}
    return tokens(graph, Data.LABELS, fields, graph.base.limits(), lambda: known)


def _of_pairs(graph: Any, view: Data, part: Split, texts: Texts) -> Sequence[Any]:
    return tokens(graph, view, graph.pair_fields(part), graph.base.limits(), texts)


def demonstrations(graph: Any, *, sampled: bool) -> Sequence[DemonstrationTokens]:
    """Tokenised demonstrations; with room for a sampled completion where their prompts are answered too."""
    seeds, limits = graph.settings.stage_seeds, graph.base.limits(prompts=sampled)
    fields = {**graph.source_address("demonstrations"), **_drawn(graph, seeds)}
    return tokens(graph, Data.DEMONSTRATIONS, fields, limits, lambda: graph.source.demonstrations(seeds))


def _drawn(graph: Any, seeds: Seeds) -> dict[str, Any]:
    """The seeds of the source's rows, where they depend on any."""
    return {"seeds": seeds.key("world")} if getattr(graph.source, "seeded", True) else {}


def prompts(graph: Any, split: Split, seeds: Seeds) -> Sequence[PromptTokens]:
    """Tokenised prompts of a split, with room for a sampled completion."""
    rows = graph.source_address("evaluation" if split in _EVALUATED else "labels")
    fields = {**rows, "split": split, **_drawn(graph, seeds)}
    limits = graph.base.limits(prompts=True)
    return tokens(graph, Data.PROMPTS, fields, limits, lambda: graph.source.prompts(split, seeds))


def revisions(graph: Any, stored: Artefact, *, every: bool) -> Sequence[DemonstrationTokens]:
    """Tokenised revisions: of every step, or the last."""
    fields = {"revisions": stored.content, "every": every}
    return tokens(graph, Data.REVISIONS, fields, graph.base.limits(), lambda: revised.read(stored, every=every))


def completions(graph: Any, view: Data) -> Sequence[tuple[Any, Any]]:
    """Prompt ids and completion ids of the training rows of a view; of pairs chosen, rejected, chosen, …"""
    if view is Data.LABELS:
        judged = graph.label_rows(Split.TRAIN)
        return Lazy(len(judged), lambda at: (judged[at].prompt, judged[at].completion))
    rows = graph.pair_rows(Split.TRAIN)
    return Lazy(2 * len(rows), lambda at: _side(rows[at // 2], at % 2))


def _side(row: PairTokens, side: int) -> tuple[Any, Any]:
    return row.prompt, row.rejected if side else row.chosen
