"""What a conversation needs, whatever model it is with: speakers, a template, what scores replies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from alignlab.data.encode import Encoder
from alignlab.data.schema import Message, Prompt
from alignlab.data.template import BareTemplate
from alignlab.data.tokens import Limits, tokenise
from alignlab.errors import DataError
from alignlab.method import Data
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.sampler import Sampler
from alignlab.rollout.texts import texts_of
from alignlab.seeding import derive

PROBE = (Message("user", "question"), Message("assistant", "answer"), Message("user", "question"))


@dataclass(frozen=True)
class Said:
    """One reply."""

    speaker: str
    text: str
    ended: bool
    """The end token was produced; otherwise the reply was cut at the longest length."""
    cut: bool
    """The conversation was too long for the model: its beginning was left out."""
    scores: Mapping[str, float]


@dataclass
class Speaker:
    """A model and what it remembers of the conversation."""

    name: str
    build: Callable[[float], Sampler]
    """The sampler at a temperature."""
    history: list[Message] = field(default_factory=list)
    _built: dict[float, Sampler] = field(default_factory=dict)

    def sampler(self, temperature: float) -> Sampler:
        """Built once for each temperature."""
        if temperature not in self._built:
            self._built[temperature] = self.build(temperature)
        return self._built[temperature]


Score = Callable[[Prompt, Rollouts, str, bool], dict[str, float]]


def no_scores(prompt: Prompt, rollouts: Rollouts, text: str, ended: bool) -> dict[str, float]:
    """Where nothing scores replies."""
    return {}


@dataclass(frozen=True)
class Room:
    """A conversation's surroundings. The first speaker is the model that was asked for."""

    title: str
    speakers: Sequence[Speaker]
    tokenizer: Any
    template: str
    limits: Limits
    score: Score = no_scores
    known: Mapping[str, Prompt] = field(default_factory=dict)
    """Requests whose true score can be told, by their text."""
    examples: Sequence[str] = ()
    closed: bool = False
    """Whether the vocabulary is a closed list of words, so that others mean nothing to the model."""
    only_known: bool = False
    """Whether the method itself asks the data source about a request, which must then be one of its own."""
    notes: Sequence[str] = ()

    @cached_property
    def remembers(self) -> bool:
        """Whether the template can tell earlier turns from the last."""
        template = Encoder(self.tokenizer, self.template).template
        if isinstance(template, BareTemplate):
            return False
        try:
            template.prompt(Prompt(id="template probe", messages=PROBE))
        except DataError:
            return False
        return True

    def ask(self, speaker: Speaker, text: str, *, seed: int, turn: int, temperature: float) -> Said:
        """One reply, remembered. Speakers asked in the same turn meet the same random numbers.

        DataError when the conversation leaves no room, or the method cannot be asked this.
        """
        turns = (*speaker.history, Message("user", text)) if self.remembers else (Message("user", text),)
        prompt = self._prompt(text, turns)
        [row], _ = tokenise(Data.PROMPTS, [prompt], self.tokenizer, self.limits, self.template)
        noise = Noise(derive(seed, "chat", turn), torch.zeros(1, dtype=torch.long))
        with torch.no_grad():
            rollouts = speaker.sampler(temperature).sample([prompt], [row.prompt.tolist()], noise)
            [reply], ended = texts_of(rollouts, self.tokenizer), bool(rollouts.ended[0])
            scores = self.score(prompt, rollouts, reply, ended)
        speaker.history[:] = [*turns, Message("assistant", reply)]
        return Said(speaker.name, reply, ended, row.truncated, scores)

    def _prompt(self, text: str, turns: tuple[Message, ...]) -> Prompt:
        if text in self.known:
            return replace(self.known[text], messages=turns)
        if self.only_known:
            raise DataError(
                f"{self.speakers[0].name} asks the data source about each request, and none there reads {text!r}",
                f"ask one of its own, such as {self.examples[0]!r}" if self.examples else "talk to another run",
            )
        return Prompt(id="chat", messages=turns)

    def forget(self) -> None:
        """Begin a new conversation."""
        for speaker in self.speakers:
            speaker.history.clear()
