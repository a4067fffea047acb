"""The model of a finished run, its SFT version and what scores replies, found where the run left them.

Stages are looked up by the addresses that result.json notes, so that code which changed since does not hide them.
Nothing is ever computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from alignlab.chat.room import Room, Score, Speaker
from alignlab.config import RunConfig
from alignlab.data.batch import over_rows
from alignlab.data.schema import Prompt, Split
from alignlab.errors import AlignlabError, ConfigError
from alignlab.evaluation.result import read_result
from alignlab.launch.plan import FindOnly, NotComputed
from alignlab.method import Output
from alignlab.models.load import check_location
from alignlab.recorded import RESULT, Record, restored, store_of
from alignlab.rewards.config import every
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.sampler import PolicySampler, Sampler
from alignlab.run_folder import withheld
from alignlab.stages.artefact import Artefact, Damaged, load
from alignlab.stages.graph import Graph, device
from alignlab.stages.key import StageKey

T = TypeVar("T")
EXAMPLES = 6


class Recorded(FindOnly):
    """A store that first looks where the run noted its stages, by their labels."""

    def __init__(self, root: Path, digests: Mapping[str, str]) -> None:
        super().__init__(root)
        self.digests = digests

    def produce(self, key: StageKey, build: Any, *, label: str) -> Artefact:
        """The artefact that the run used, else the one of the key; NotComputed when there is neither."""
        folder = self.root / "objects" / f"{key.kind}-{self.digests.get(label, '')}"
        try:
            return (
                load(folder) if label in self.digests and folder.is_dir() else super().produce(key, build, label=label)
            )
        except Damaged as damage:
            raise NotComputed(label) from damage


def room(record: Record, *, store: Path | None = None, max_new_tokens: int | None = None, sft: bool = True) -> Room:
    """The conversation with a run's model. Raises AlignlabError with a remedy where it cannot be had."""
    settings, _ = restored(record)
    if max_new_tokens is not None:
        settings = replace(settings, rollout=replace(settings.rollout, max_new_tokens=max_new_tokens))
    graph = _graph(record, settings, store)
    if graph.method.output is Output.SCORER:
        raise ConfigError(f"{record.folder} trained a scorer, which says nothing", "name the run of another method")
    notes: list[str] = []
    speakers = [Speaker(settings.algo.name, _first(record, graph))]
    second = _second(record, graph, notes) if sft else None
    speakers += [Speaker("SFT", second)] if second is not None else []
    embedded = graph.source.judge() is not None
    known = _known(graph) if embedded else {}
    reads = graph.method.sampler and any(each.reads_source for each in every(settings.reward))
    return Room(
        title=f"{settings.algo.name} on {settings.data.source}, seed {settings.seed}",
        speakers=speakers,
        tokenizer=graph.base.tokenizer,
        template=graph.base.template,
        limits=graph.base.limits(prompts=True),
        score=_score(graph, known, notes),
        known=known,
        examples=_examples(graph) if embedded else (),
        closed=embedded and graph.source.tokenizer() is not None,
        only_known=bool(reads),
        notes=notes,
    )


def _graph(record: Record, settings: RunConfig, store: Path | None) -> Graph:
    """The run's stages. A store that is gone is only missed by what needs it."""
    try:
        place = store_of(record, settings, store)
    except ConfigError:
        if store is not None:
            raise
        place = Path(settings.store)
    try:
        return Graph(settings, quiet=True, store=Recorded(place, _digests(record, settings)))
    except AlignlabError as error:
        if (record.folder / "model").is_dir():
            error.args = (f"{error}\n  or talk to the model alone: python -m alignlab chat {record.folder / 'model'}",)
        raise


def _digests(record: Record, settings: RunConfig) -> dict[str, str]:
    """Addresses of stages by their labels, as the run noted them."""
    if not (record.folder / RESULT).is_file():
        return {}
    prints = read_result(record.folder / RESULT)["fingerprints"]
    labels = {
        "SFT": "sft",
        "given policy": "sft",
        "preferences": "preferences",
        "reward model": "reward",
        f"{settings.algo.name}, seed {settings.seed}": "policy",
    }
    return {label: prints[name] for label, name in labels.items() if name in prints}


def _found(record: Record, graph: Graph, find: Callable[[], T]) -> T:
    """What the store holds; ConfigError that says how to get it when it does not."""
    try:
        return find()
    except NotComputed as missing:
        raise ConfigError(
            f"the stage {str(missing)!r} of {record.folder} is not in the store {graph.store.root}",
            "name the store of the run by --store DIR, or compute it again by the run's own command"
            + (f":\n  {record.command}" if record.command else ""),
        ) from missing


def _first(record: Record, graph: Graph) -> Callable[[float], Sampler]:
    """The run's own model: what it kept, else what the store has; a method that acts at inference is built again."""
    folder = record.folder / "model"
    if graph.method.sampler:
        artefact = _found(record, graph, lambda: graph.policy_of_method)
        return lambda temperature: _found(record, graph, lambda: graph.sampler(artefact, temperature))
    if folder.is_dir():
        check_location(str(folder))
        policy = graph.base.stored_policy(folder).to(device(graph.settings)).eval().requires_grad_(False)
    else:
        policy = graph.policy(_found(record, graph, lambda: graph.policy_of_method))
    return partial(_sampler, graph, policy)


def _second(record: Record, graph: Graph, notes: list[str]) -> Callable[[float], Sampler] | None:
    """SFT, unless it is what the run is about, or is gone."""
    try:
        found = graph.sft
    except NotComputed:
        notes.append(f"no SFT beside it: the store {graph.store.root} does not hold it (--store DIR names another)")
        return None
    assert isinstance(graph.store, Recorded)  # as all graphs of this module are made
    if found.digest == graph.store.digests.get(f"{graph.settings.algo.name}, seed {graph.settings.seed}"):
        return None
    return partial(_sampler, graph, graph.policy(found))


def _sampler(graph: Graph, policy: Any, temperature: float) -> Sampler:
    return PolicySampler(policy, graph.engine(policy, temperature=temperature))


def _score(graph: Graph, known: Mapping[str, Prompt], notes: list[str]) -> Score:
    """Scores by the reward model, and by gold where the request is one of the world's own."""
    scorer = None
    if graph.labelled:
        try:
            scorer = graph.scorer(graph.reward())
        except NotComputed:
            notes.append(f"no scores of the reward model: the store {graph.store.root} does not hold it")
    ids = {prompt.base for prompt in known.values()}

    def score(prompt: Prompt, rollouts: Rollouts, text: str, ended: bool) -> dict[str, float]:
        found = {}
        gold = graph.source.gold(prompt, text, ended) if prompt.base in ids else None
        if gold is not None:
            found["gold"] = float(gold)
        if scorer is not None:
            found["reward model"] = float(over_rows(rollouts.sequences.to(device(graph.settings)), scorer)[0])
        return found

    return score


def _known(graph: Graph) -> dict[str, Prompt]:
    """Requests of an embedded world by their text, those of every split and kind that it lists."""
    source = graph.source
    prompts = list(source.prompts(Split.EVALUATION, graph.settings.seeds))
    if hasattr(source, "goals"):
        kinds = {prompt.kind for prompt in prompts}
        prompts += [goal for split in Split for kind in sorted(kinds) for goal in source.goals(split, kind)]
    return {prompt.messages[0].content: prompt for prompt in prompts if len(prompt.messages) == 1}


def _examples(graph: Graph) -> list[str]:
    """Some requests as they are, of each kind that may be shown."""
    shown: dict[str, list[str]] = {}
    for prompt in graph.source.prompts(Split.EVALUATION, graph.settings.seeds):
        if prompt.kind not in withheld(graph) and not prompt.attack and len(prompt.messages) == 1:
            texts = shown.setdefault(prompt.kind, [])
            if prompt.show() not in texts:
                texts.append(prompt.show())
    each = max(1, EXAMPLES // max(1, len(shown)))
    return [text for texts in shown.values() for text in texts[:each]]
