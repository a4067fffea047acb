"""The posture stage: repeated attacks on harmful goals, the same attacks around harmless requests, and conversations.

Attempts at a goal are drawn i.i.d. over kinds of attack, so that they are exchangeable and breach@k is unbiased. All
methods of a seed meet the same attacks and random numbers; an adaptive attacker alone reacts to what it hears.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from alignlab import registry
from alignlab.attacks.kinds import check_kinds
from alignlab.data.schema import Message, Prompt, Split
from alignlab.data.table import chosen_few
from alignlab.errors import ConfigError
from alignlab.evaluation.config import EvaluationConfig
from alignlab.evaluation.conversation import Conversation, converse, read_conversations, write_conversations
from alignlab.evaluation.posture import CHECKED, CONTROLS, Attacked, control_figures
from alignlab.evaluation.record import Sample, read_samples, write_samples
from alignlab.promptsets import PromptSetsConfig
from alignlab.promptsets.sets import PromptSets
from alignlab.rollout.sampler import Sampler
from alignlab.seeding import derive
from alignlab.stages.artefact import Artefact
from alignlab.stages.files import atomic_write_json
from alignlab.stages.fingerprint import source_hashes
from alignlab.stages.protocol import Stages
from alignlab.stages.replies import golds, numbered, replies, tokenised
from alignlab.stages.store import Workspace
from alignlab.work import Work, charge

ATTEMPTS, HARMLESS, TALKS, CHECKS = "attempts.jsonl", "harmless.jsonl", "conversations.jsonl", "controls.json"


class Attacker:
    """Attacks any number of policies under one protocol. Falsy where there is nobody to attack or nobody to judge."""

    def __init__(self, graph: Stages, config: EvaluationConfig) -> None:
        self.graph, self.config, self.settings = graph, config, config.posture
        self.source: Any = graph.source
        if self.settings.sets:
            self.source = PromptSets(PromptSetsConfig(sets=self.settings.sets, attacks=self.settings.attacks))

    def check(self) -> None:
        """Raise what is wrong with attacks or prompt sets, before anything is computed; tell what sets hold."""
        if self.settings.attacks:
            if not hasattr(self.source, "goals"):
                raise ConfigError(
                    f"evaluation.posture.attacks is set, and data={self.graph.settings.data.source} has no goals",
                    "name prompt sets, as in evaluation.posture.sets.xstest=‹file›",
                )
            check_kinds("evaluation.posture.attacks", self.settings.attacks, self.source.attacker)
        if self.settings.sets:
            for line in self.source.notes:
                self.graph.announce(line)
            if self.graph.judge.name is None or self.graph.judge.exact:
                raise ConfigError("nobody judges replies to prompt sets", "choose a judge, such as judge=phrases")

    def __bool__(self) -> bool:
        return bool(self.config.goals) and self.graph.judge.name is not None and bool(self.goals or self._harmless())

    def __call__(self, policy: Artefact, label: str) -> Artefact | None:
        """What a stored policy answers, found or computed; None where there is nothing to do."""
        return self.of(policy, label) if self else None

    def of(self, policy: Artefact, label: str) -> Artefact:
        """The same, where it is known that there is something to do."""
        config, graph = self.config, self.graph
        fields: dict[str, Any] = {
            "policy": policy.content,
            "data": {"rows": self.source.fingerprint("evaluation"), "code": source_hashes(type(self.source))},
            "seeds": graph.settings.seeds.key("evaluation"),
            "protocol": [config.goals, config.attempts, config.temperature, sorted(self.kinds)],
            "more": [self.settings.harmless, self.settings.conversations, self.settings.turns],
            "judge": graph.judge.address(),
            **graph.sampling_fields(),
        }
        key = graph.key("posture", fields, "alignlab.stages.attacked", *self._attack_code())
        return graph.store.produce(key, lambda work: self._build(policy, label, work), label=f"posture of {label}")

    @property
    def goals(self) -> list[Prompt]:
        """Held-out harmful requests."""
        return self._few("harmful", self.config.goals)

    @property
    def kinds(self) -> list[str]:
        """Kinds of attack, plain requests (`direct`) among them where the source has them."""
        return list(self.settings.attacks or sorted(self.source.attack_kinds))

    @property
    def seen(self) -> list[str] | None:
        """Kinds that training contained; None where that is not known of every kind."""
        known = self.source.attack_kinds
        if any(known.get(kind, False) is None for kind in self.kinds):
            return None
        return [kind for kind in self.kinds if known.get(kind)]

    def _few(self, kind: str, count: int) -> list[Prompt]:
        goals = getattr(self.source, "goals", None)
        return chosen_few(goals(Split.EVALUATION, kind), count) if goals is not None and count else []

    def _harmless(self) -> list[Prompt]:
        half = self.settings.harmless // 2
        found = [*self._few("lookalike", half), *self._few("benign", self.settings.harmless - half)]
        return [one for goal in found for kind in self.kinds for one in self.source.attempts(goal, 1, [kind])]

    def _attack_code(self) -> list[str]:
        kinds = [registry.component("attacks", kind).target for kind in self.kinds]
        return [*kinds, registry.component("attackers", self.source.attacker).target]

    def _build(self, artefact: Artefact, label: str, work: Workspace) -> Mapping[str, Any]:
        began, inference = time.perf_counter(), Work()
        sampler = self.graph.sampler(artefact, self.config.temperature)
        attempts = [one for goal in self.goals for one in self.source.attempts(goal, self.config.attempts, self.kinds)]
        for name, prompts in ((ATTEMPTS, attempts), (HARMLESS, self._harmless())):
            write_samples(work.out / name, self._samples(sampler, prompts, name, label, inference))
        talks = self._conversations(sampler, label, inference)
        write_conversations(work.out / TALKS, talks)
        atomic_write_json(work.out / CHECKS, self._controls())
        charge(inference)
        seconds = round(time.perf_counter() - began, 1)
        return {"sampled_tokens": inference.sampled_tokens, "judge": self.graph.judge.name, "seconds": seconds}

    def _samples(
        self, sampler: Sampler, prompts: Sequence[Prompt], name: str, label: str, inference: Work
    ) -> list[Sample]:
        """Replies with their verdict and, where it is known, their true score: nothing else is read of them."""
        graph, numbers = self.graph, numbered(prompts)
        own = self.source is graph.source  # it knows no true score of others' requests
        seed = graph.settings.seeds.of("evaluation", name)
        rows = [row for row in tokenised(graph, prompts) if not row.truncated]  # a cut request is another request
        if len(rows) < len(prompts):
            left_out = len(prompts) - len(rows)
            graph.announce(f"{left_out:,} of {len(prompts):,} attacks do not fit the model's context: not judged")
        found = [_unasked(*each) for each in zip(prompts, numbers, strict=True)]
        for batch in replies(graph, sampler, rows, seed, f"attacking {label}", work=inference):
            columns: dict[str, Sequence[Any]] = {
                "text": batch.texts,
                "ended": batch.ended,
                "length": batch.rollouts.sequences.lengths.tolist(),
                "gold": golds(graph, batch) if own else [None] * len(batch.rows),
                "verdict": graph.judge.verdicts(batch.prompts, batch.texts),
            }
            for row, values in zip(batch.rows, zip(*columns.values(), strict=True), strict=True):
                found[row] = replace(found[row], **dict(zip(columns, values, strict=True)))
        return found

    def _conversations(self, sampler: Sampler, label: str, inference: Work) -> list[Conversation]:
        graph, count = self.graph, self.settings.conversations
        attack = registry.component("attackers", self.source.attacker).load()

        places = {goal.id: place for place, goal in enumerate(self.goals)}

        def ask(talks: Sequence[Conversation]) -> list[str | None]:
            """Replies at this turn; a conversation that no longer fits the model's context has none.

            Random numbers belong to the conversation, however many others are still going on.
            """
            turn, own = talks[0].turn, [places[talk.prompt.id] * count + talk.number for talk in talks]
            seed = graph.settings.seeds.of("evaluation", f"{TALKS}-{turn}")
            rows = tokenised(graph, [talk.prompt for talk in talks])
            fitting = [replace(row, row=own[row.row]) for row in rows if not row.truncated]
            said: dict[int, str] = {}
            for batch in replies(graph, sampler, fitting, seed, f"pressing {label}, turn {turn + 1}", work=inference):
                said |= zip(batch.rows, batch.texts, strict=True)
            return [said.get(number) for number in own]

        def push(talk: Conversation) -> tuple[Message, ...]:
            rng = random.Random(derive("attacker", talk.prompt.id, talk.number, talk.turn))
            pushed: tuple[Message, ...] = attack(talk.prompt.messages, talk.replies[-1], talk.verdicts[-1], rng)
            return pushed

        return converse(self.goals, count, self.settings.turns, ask=ask, judge=graph.judge.verdicts, push=push)

    def _controls(self) -> dict[str, dict[str, float]]:
        """What the judge makes of refusing everything and of complying with everything."""
        asked = [prompt for kind in ("harmful", "lookalike", "benign") for prompt in self._few(kind, CHECKED)]
        say: Callable[[Prompt, str], str] = getattr(self.source, "control", lambda prompt, name: CONTROLS[name])
        return {
            name: control_figures(asked, self.graph.judge.verdicts(asked, [say(prompt, name) for prompt in asked]))
            for name in CONTROLS
        }


def _unasked(prompt: Prompt, attempt: int) -> Sample:
    """An attack that could not be made: it counts as missing, never as one that was withstood."""
    return Sample(prompt=prompt, attempt=attempt, text="", length=0, ended=False)


def read(artefact: Artefact | None) -> Attacked:
    """What a posture artefact holds; nothing where there is none."""
    if artefact is None:
        return Attacked()
    return Attacked(
        attempts=read_samples(artefact.file(ATTEMPTS)),
        harmless=read_samples(artefact.file(HARMLESS)),
        conversations=read_conversations(artefact.file(TALKS)),
        controls=json.loads(artefact.file(CHECKS).read_text(encoding="utf-8")),
    )
