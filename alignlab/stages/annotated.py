"""The preferences stage where an annotator is asked: P(first preferred) of each pair, under a principle drawn for it.

Both orders are asked and averaged, which cancels a constant preference for the place in which a completion is shown;
how large that preference is stands in the health figures. Pairs that the source has are judged anew; where it has none,
they are the same samples of the SFT policy that its own annotator would see. Harm labels stay those of the source.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from alignlab import registry
from alignlab.annotators.config import AnnotatorConfig
from alignlab.annotators.feedback import Annotator, Comparison
from alignlab.data.rows import read_pairs, write_pairs
from alignlab.data.schema import Completion, Pair, Split
from alignlab.errors import DataError
from alignlab.method import Data
from alignlab.seeding import Seeds
from alignlab.stages import preferences
from alignlab.stages.artefact import Artefact
from alignlab.stages.fingerprint import source_hashes
from alignlab.stages.store import Workspace
from alignlab.tracking.console import say, warn
from alignlab.tracking.progress import track

ROWS = 128
"""Pairs judged at once."""
BIASED, MUTE = 0.1, 0.1
"""A preference for one place, and a share of pairs without a label, that are worth a warning."""


class Judged(NamedTuple):
    """One pair with what was said about it in both orders."""

    pair: Pair
    principle: int
    seed: int
    forward: float
    """P(the completion shown first is preferred), the pair's first one being shown first."""
    backward: float
    """The same with the pair's second one shown first."""

    @property
    def probability(self) -> float:
        """P(the pair's first completion is preferred), whichever is shown first."""
        return (self.forward + 1.0 - self.backward) / 2


class Unlabelled:
    """A source's prompts and harm labels without its preferences: the first of two samples stays the first."""

    def __init__(self, source: Any) -> None:
        self.prompts = source.prompts
        if hasattr(source, "safety"):
            self.safety = source.safety

    def prefer(self, *asked: Any) -> float:
        """The first."""
        return 1.0


def address(graph: Any, policy: Artefact, *, revising: bool = False) -> dict[str, Any]:
    """What an annotator's answers depend on, `policy` being the one whose completions it sees."""
    config: AnnotatorConfig = graph.settings.annotator
    return {
        "kind": config.kind,
        "settings": config.address(revising=revising),
        "code": source_hashes(registry.component("annotators", config.kind).target),
        **({"policy": policy.content} if config.reads_policy else {}),
        **({"data": graph.source_address()} if config.reads_source else {}),
    }


def annotator(graph: Any, policy: Artefact, work: Workspace, device: str) -> Annotator:
    """The run's annotator, ready to be asked."""
    config: AnnotatorConfig = graph.settings.annotator
    base = graph.base
    made: Annotator = registry.component("annotators", config.kind).load()(
        config,
        source=graph.source,
        folder=work.path,
        device=device,
        policy=graph.policy(policy) if config.reads_policy else None,
        tokenizer=base.tokenizer,
        template=base.template,
        end_ids=base.end_ids,
        pad_id=base.pad_id,
    )
    return made


def candidates(graph: Any, stored: Callable[[], Artefact]) -> Artefact:
    """Pairs to be judged, in an order that says nothing: those that the source has, or samples of the SFT policy."""
    if Data.PAIRS in graph.source.native:
        return stored()
    settings, base, seeds = graph.settings, graph.base, graph.settings.stage_seeds
    fields = {
        "policy": graph.sft.content,
        "data": graph.source_address("labels"),
        "seeds": seeds.key("world", "labels"),
        **graph.sampling_fields(),
    }

    def build(work: Workspace) -> Mapping[str, Any]:
        info = preferences.sampled(
            Unlabelled(graph.source),
            graph.engine(graph.policy(graph.sft)),
            base.tokenizer,
            seeds,
            work.out,
            limits=base.limits(prompts=True),
            template=base.template,
            batch=settings.rollout.batch_size,
        )
        return {**info, "origin": "sampled from SFT, not labelled"}

    key = graph.key("candidates", fields, preferences, "alignlab.stages.annotated")
    artefact: Artefact = graph.store.produce(key, build, label="pairs to be judged")
    return artefact


def produce(graph: Any, stored: Callable[[], Artefact], device: str) -> Artefact:
    """Pairs labelled by the run's annotator, found or computed; `stored` is asked for pairs that the source has."""
    unjudged, config, seeds = candidates(graph, stored), graph.settings.annotator, graph.settings.stage_seeds
    fields = {"candidates": unjudged.content, "annotator": address(graph, graph.sft), "seeds": seeds.key("labels")}

    def build(work: Workspace) -> Mapping[str, Any]:
        began = time.perf_counter()
        asked = annotator(graph, graph.sft, work, device)
        ends, done, counts, unanswered = set(graph.base.end_ids), list[Judged](), dict[str, int](), 0
        for split in preferences.PARTS:
            pairs = read_pairs(unjudged.file(f"{split.value}.jsonl"))
            judged = judge(asked, pairs, len(config.principles), ends, seeds, split)
            if not judged:
                raise DataError(
                    f"annotator={config.kind} gave no usable answer on any of {len(pairs)} {split.value} pairs",
                    "look at what it is asked: annotator.question, annotator.answers",
                )
            labelled = [label(one, config.max_probability) for one in judged]
            counts[split.value] = write_pairs(work.out / f"{split.value}.jsonl", labelled)
            _write(work.out / f"{split.value}.annotations.jsonl", judged, config.texts)
            unanswered += len(pairs) - len(judged)
            done += judged
        total = sum(counts.values())
        figures = health(done) | agreement(graph, done, ends)
        report(figures, unanswered, total)
        return {
            "pairs": counts,
            "labels": total,
            "unanswered": unanswered,
            "origin": f"labelled by annotator={config.kind}",
            "health": figures,
            "seconds": round(time.perf_counter() - began, 1),
        }

    artefact: Artefact = graph.store.produce(
        graph.key("preferences", fields, "alignlab.stages.annotated"), build, label=f"preferences by {config.kind}"
    )
    return artefact


def stages(graph: Any) -> list[Artefact]:
    """What the run's labelled pairs are made of and what they are, found or computed."""
    done: list[Artefact] = [graph.preferences]
    if graph.settings.annotator.judges:
        done.insert(0, candidates(graph, graph.source_preferences))
    return done


def judge(
    asked: Annotator, pairs: Sequence[Pair], principles: int, ends: set[int], seeds: Seeds, split: Split
) -> list[Judged]:
    """Every pair in both orders; those without a usable answer in either are left out."""
    done = []
    for start in track(range(0, len(pairs), ROWS), f"labelling, {split.value.replace('_', '-')}"):
        part = pairs[start : start + ROWS]
        rows = [_comparison(pair, at, principles, ends, seeds, split) for at, pair in enumerate(part, start)]
        said = asked.judge([each for row in rows for each in (row, swapped(row))])
        answers = zip(part, rows, said[::2], said[1::2], strict=True)
        done += [
            Judged(pair, row.principle, row.seed, forward, backward)
            for pair, row, forward, backward in answers
            if forward is not None and backward is not None
        ]
    return done


def _comparison(pair: Pair, at: int, principles: int, ends: set[int], seeds: Seeds, split: Split) -> Comparison:
    """A pair in its own order, under the principle drawn for its row."""
    rng = seeds.random("labels", "principle", split.value, at)
    ended = (finished(pair.chosen, ends), finished(pair.rejected, ends))
    seed = seeds.of("labels", "annotator", split.value, at)
    return Comparison(pair.prompt, pair.chosen.text, pair.rejected.text, ended, rng.randrange(principles), seed)


def finished(completion: Completion, ends: set[int]) -> bool:
    """Whether a completion came to an end: written ones do."""
    return completion.ids is None or ends.issuperset(completion.ids[-1:])


def swapped(asked: Comparison) -> Comparison:
    """The same completions in the other order."""
    return asked._replace(first=asked.second, second=asked.first, ended=asked.ended[::-1])


def label(judged: Judged, most: float) -> Pair:
    """The pair in order of preference, with its probability; the row's seed breaks ties, never the old order."""
    pair, probability = judged.pair, judged.probability
    first = bool(judged.seed & 1) if probability == 0.5 else probability > 0.5
    stated = min(max(probability, 1 - probability), most)
    soft = None if stated == 1.0 else stated
    if first:
        return replace(pair, margin=None, probability=soft)
    safety = None if pair.safety is None else pair.safety.swapped
    return Pair(pair.prompt, pair.rejected, pair.chosen, probability=soft, safety=safety)


def health(done: Sequence[Judged]) -> dict[str, float]:
    """How much the place in which a completion is shown decides.

    position_bias: mean P(shown first is preferred) - 0.5. inconsistent: share of pairs in which the two orders prefer
    different completions. confidence: mean probability of the preferred side.
    """
    return {
        "position_bias": fmean((one.forward + one.backward) / 2 for one in done) - 0.5,
        "inconsistent": fmean(float((one.forward - 0.5) * (0.5 - one.backward) < 0) for one in done),
        "confidence": fmean(max(one.probability, 1 - one.probability) for one in done),
    }


def agreement(graph: Any, done: Sequence[Judged], ends: set[int]) -> dict[str, float]:
    """Share of labels that agree with gold, and with labels that the source has; ties count half."""
    found: dict[str, float] = {}
    hits = []
    for one in done:
        sides = (one.pair.chosen, one.pair.rejected)
        golds = [graph.source.gold(one.pair.prompt, side.text, finished(side, ends)) for side in sides]
        if golds[0] is not None and golds[0] != golds[1]:
            hits.append(_hit(one.probability if golds[0] > golds[1] else 1 - one.probability))
    if hits:
        found["gold_accuracy"] = fmean(hits)
    if Data.PAIRS in graph.source.native:
        found["source_agreement"] = fmean(_hit(one.probability) for one in done)
    return found


def _hit(probability: float) -> float:
    return 0.5 if probability == 0.5 else float(probability > 0.5)


def report(figures: Mapping[str, float], unanswered: int, labels: int) -> None:
    """One line about the labels, and warnings about what spoils them."""
    shown = f"position bias {figures['position_bias']:+.2f}, {figures['inconsistent']:.0%} decided by the order"
    for name, what in (("gold_accuracy", "agreement with gold"), ("source_agreement", "with the source's labels")):
        shown += f", {what} {figures[name]:.2f}" if name in figures else ""
    say(f"  {shown}")
    if abs(figures["position_bias"]) > BIASED:
        place = "first" if figures["position_bias"] > 0 else "second"
        warn(f"the annotator prefers what is shown {place} by {abs(figures['position_bias']):.0%}: labels are pale")
    if unanswered > MUTE * (labels + unanswered):
        warn(
            f"the annotator gave no usable answer on {unanswered:,} of {labels + unanswered:,} pairs; they are dropped"
        )


def _write(path: Path, judged: Sequence[Judged], texts: Sequence[str]) -> None:
    """The drawn principle and both answers of every pair, in the order of the pairs' file."""
    with path.open("w", encoding="utf-8") as file:
        for one in judged:
            row = {"principle": texts[one.principle], "forward": one.forward, "backward": one.backward}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
