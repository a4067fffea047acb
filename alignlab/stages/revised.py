"""The revisions stage: samples of a policy, criticised and revised by the run's annotator, as demonstrations.

Every step draws a principle of its own for each row and revises what the step before left. A row whose annotator has
no usable answer keeps the revisions it has and goes no further. Revisions are written text: they end where they end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from alignlab.annotators.feedback import Annotator, Draft, Revision
from alignlab.data.rows import prompt_from_json, prompt_to_json
from alignlab.data.schema import Completion, Demonstration, Prompt, Split
from alignlab.errors import DataError
from alignlab.method import RevisionConfig
from alignlab.seeding import Seeds
from alignlab.stages import annotated, preferences
from alignlab.stages.artefact import Artefact
from alignlab.stages.store import Workspace
from alignlab.tracking.console import say
from alignlab.tracking.progress import track

FILE = "revisions.jsonl"
ROWS = 128
"""Drafts revised at once."""


@dataclass
class Row:
    """One prompt on its way: the sample, whether it ended, and what became of it."""

    prompt: Prompt
    draft: str
    ended: bool
    steps: list[tuple[int, Revision]] = field(default_factory=list)
    """The drawn principle and the revision of each step."""

    @property
    def last(self) -> str:
        """What the next step revises."""
        return self.steps[-1][1].reply if self.steps else self.draft


def produce(graph: Any, start: Artefact, config: RevisionConfig, seeds: Seeds, device: str) -> Artefact:
    """Revisions of samples of `start` on the training prompts, found or computed."""
    fields = {
        "policy": start.content,
        "steps": config.revisions,
        "annotator": annotated.address(graph, start, revising=True),
        "data": graph.source_address("labels"),
        "seeds": seeds.key("world", "labels"),
        **graph.sampling_fields(),
    }

    def build(work: Workspace) -> Mapping[str, Any]:
        began = time.perf_counter()
        rows = _sampled(graph, start, seeds)
        asked, texts = annotated.annotator(graph, start, work, device), graph.settings.annotator.texts
        for step in range(config.revisions):
            revise(asked, rows, step, len(texts), seeds)
        done = [row for row in rows if row.steps]
        if not done:
            raise DataError(
                f"annotator={graph.settings.annotator.kind} gave no usable revision of any of {len(rows)} samples",
                "look at what it is asked: annotator.critique, annotator.revision",
            )
        with (work.out / FILE).open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(_written(row, texts), ensure_ascii=False) + "\n" for row in done)
        figures = health(graph, done)
        shown = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in figures.items())
        say(f"  {len(done):,} samples revised: {shown}")
        unanswered = sum(len(row.steps) < config.revisions for row in rows)
        seconds = round(time.perf_counter() - began, 1)
        return {"rows": len(done), "unanswered": unanswered, "health": figures, "seconds": seconds}

    key = graph.key("revisions", fields, "alignlab.stages.revised", preferences)
    artefact: Artefact = graph.store.produce(key, build, label="revisions")
    return artefact


def _sampled(graph: Any, start: Artefact, seeds: Seeds) -> list[Row]:
    """One sample for each training prompt."""
    tokens = graph.prompt_rows(Split.TRAIN, seeds)
    ids, numbers = [row.prompt.tolist() for row in tokens], [row.row for row in tokens]
    seed, batch = seeds.of("labels", "revisions"), graph.settings.rollout.batch_size
    engine = graph.engine(graph.policy(start))
    done = preferences.sample_completions(engine, ids, numbers, seed, graph.base.tokenizer, batch, "samples to revise")
    return [Row(row.source, reply.text, ended) for row, (reply, ended) in zip(tokens, done, strict=True)]


def revise(asked: Annotator, rows: Sequence[Row], step: int, principles: int, seeds: Seeds) -> None:
    """One step on every row that has come so far."""
    ahead = [(at, row) for at, row in enumerate(rows) if len(row.steps) == step]
    for start in track(range(0, len(ahead), ROWS), f"revisions, step {step + 1}"):
        part = ahead[start : start + ROWS]
        drafts = [_draft(row, at, step, principles, seeds) for at, row in part]
        for (_, row), draft, said in zip(part, drafts, asked.revise(drafts), strict=True):
            if said is not None:
                row.steps.append((draft.principle, said))


def _draft(row: Row, at: int, step: int, principles: int, seeds: Seeds) -> Draft:
    principle = seeds.random("labels", "principle", "revisions", at, step).randrange(principles)
    return Draft(row.prompt, row.last, principle, seeds.of("labels", "annotator", "revisions", at, step))


def _written(row: Row, texts: Sequence[str]) -> dict[str, Any]:
    steps = [{"principle": texts[number], "critique": one.critique, "reply": one.reply} for number, one in row.steps]
    return {"prompt": prompt_to_json(row.prompt), "draft": row.draft, "steps": steps}


def health(graph: Any, done: Sequence[Row]) -> dict[str, float]:
    """Share of samples that were changed at all; mean gold before and after, where it is known."""
    figures = {"changed": fmean(row.last != row.draft for row in done)}
    before = [graph.source.gold(row.prompt, row.draft, row.ended) for row in done]
    if None not in before:
        after = [graph.source.gold(row.prompt, row.last, True) for row in done]
        figures |= {"gold_of_samples": fmean(before), "gold_of_revisions": fmean(after)}
    return figures


def read(artefact: Artefact, *, every: bool) -> Iterator[Demonstration]:
    """Revisions as demonstrations: those of every step, or the last of each row."""
    with artefact.file(FILE).open(encoding="utf-8") as file:
        for row in map(json.loads, file):
            prompt = prompt_from_json(row["prompt"])
            for step in row["steps"] if every else row["steps"][-1:]:
                yield Demonstration(prompt, Completion(step["reply"]))
