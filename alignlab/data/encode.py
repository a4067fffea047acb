"""Text to token ids: one beginning-of-sequence token, one end token, a prompt that is the same for every answer.

Prompt and answer are encoded together where the prompt's ids then come out as a prefix, and apart where the
tokenizer would merge across the boundary: what the model is trained to continue is what it is sampled from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

from alignlab.data.schema import Completion, Message, Prompt
from alignlab.data.template import Answer, Template, choose
from alignlab.errors import ModelError


class Encoder:
    """A tokenizer with a template. `counts` records what had to be done differently from the plain way."""

    def __init__(self, tokenizer: Any, template: str = "auto") -> None:
        self.tokenizer = tokenizer
        self.template: Template = choose(tokenizer, template)
        self.counts: Counter[str] = Counter()
        self._last: tuple[Prompt, str, list[int]] | None = None
        self._known: dict[tuple[str, bool], list[int]] = {}

    @cached_property
    def bos(self) -> int | None:
        """The token every row starts with; None where neither tokenizer nor template writes one.

        A template that repeats it marks turns with it, which says nothing about verbatim text.
        """
        own = self.tokenizer.bos_token_id
        if own is None:
            return None
        probe = Prompt(id="template probe", messages=(Message("user", "question"),))
        rendered = self._ids(self.template.prompt(probe), self.template.markup)
        written = rendered[:1] == [own] and rendered.count(own) == 1
        added = self.tokenizer("question")["input_ids"][:1] == [own]
        return own if added or written else None

    @cached_property
    def end(self) -> int:
        """The token that ends a written answer in a conversation."""
        return self._need_end(self.template.end, self.tokenizer.eos_token_id)

    @cached_property
    def text_end(self) -> int:
        """The token that ends a written continuation of verbatim text."""
        return self._need_end(self.tokenizer.eos_token_id, self.template.end)

    def _need_end(self, *candidates: int | None) -> int:
        for token in candidates:
            if token is not None:
                return token
        raise ModelError(
            "the tokenizer has neither an eos token nor a chat template with an end token, so that no answer "
            "could ever end",
            "set eos_token in the model's tokenizer_config.json",
        )

    def read_ahead(self, rows: Iterable[tuple[Prompt, Sequence[Completion]]]) -> None:
        """Encode the texts of these rows in one call, which is several times as fast; they replace those before."""
        texts = {each for prompt, completions in rows for each in self._texts(prompt, completions)}
        self._known = {}
        for markup in (False, True):
            some = [key for key in texts if key[0] and key[1] is markup]
            if some:
                self._known |= zip(some, self._encoded([text for text, _ in some], markup), strict=True)

    def _texts(self, prompt: Prompt, completions: Sequence[Completion]) -> Iterator[tuple[str, bool]]:
        markup = self._markup(prompt)
        start = self.template.prompt(prompt) if prompt.text is None else prompt.text
        yield start, markup
        for completion in completions:
            if completion.ids is None and completion.text.strip() and not self._holds_special(completion.text):
                yield start + self._answer(prompt, completion, start).text, markup

    def _answer(self, prompt: Prompt, completion: Completion, start: str) -> Answer:
        if prompt.text is not None:
            return Answer("", completion.text, "")
        return self.template.answer(prompt, completion.text, start)

    def prompt(self, prompt: Prompt) -> list[int]:
        """Ids up to where the answer begins, never truncated."""
        return list(self._prompt(prompt)[1])

    def _prompt(self, prompt: Prompt) -> tuple[str, list[int]]:
        if self._last is None or self._last[0] is not prompt:
            text = self.template.prompt(prompt) if prompt.text is None else prompt.text
            self._last = prompt, text, self._start(self._ids(text, self._markup(prompt)))
        return self._last[1:]

    def answer(self, prompt: Prompt, completion: Completion) -> list[int]:
        """Ids of an answer: as sampled, or encoded from text and closed by the end token."""
        if completion.ids is not None:
            return list(completion.ids)
        answer = self._answer(prompt, completion, self._prompt(prompt)[0])
        return [*self._follow(prompt, answer), self.end if prompt.text is None else self.text_end]

    def _follow(self, prompt: Prompt, answer: Answer) -> list[int]:
        """Ids of an answer's text, such that the prompt's ids stay what they are."""
        if self._holds_special(answer.content):
            self.counts["special"] += 1
            content = self._ids(answer.content, markup=False)
            return [*self._ids(answer.before, True), *content, *self._ids(answer.after, True)]
        text = answer.text
        start, ids = self._prompt(prompt)
        joint = self._start(self._ids(start + text, self._markup(prompt)))
        if answer.follows and joint[: len(ids)] == ids and len(joint) > len(ids):
            return joint[len(ids) :]
        self.counts["apart" if answer.follows else "marker"] += 1
        return self._ids(text, self._markup(prompt))

    def _markup(self, prompt: Prompt) -> bool:
        # Verbatim text may hold a whole rendered conversation. Our own plain templates write no special token,
        # so one in their text was typed by somebody and must not end a turn.
        return prompt.text is not None or self.template.markup

    def _ids(self, text: str, markup: bool) -> list[int]:
        if not text:
            return []
        known = self._known.get((text, markup))
        return list(self._encoded([text], markup)[0] if known is None else known)

    def _encoded(self, texts: list[str], markup: bool) -> list[list[int]]:
        # verbose=False: rows beyond the model's context are cut or dropped later, and counted.
        found: list[list[int]] = self.tokenizer(
            texts, add_special_tokens=False, split_special_tokens=not markup, verbose=False
        )["input_ids"]
        return found

    def _start(self, ids: list[int]) -> list[int]:
        """With exactly one BOS in front, where the tokenizer or the template writes one."""
        own = self.tokenizer.bos_token_id
        if own is None:
            return ids
        first = next((at for at, token in enumerate(ids) if token != own), len(ids))
        return [own, *ids[first:]] if first or self.bos is not None else ids

    @cached_property
    def _special(self) -> tuple[str, ...]:
        return tuple(str(token) for token in self.tokenizer.all_special_tokens)

    def _holds_special(self, text: str) -> bool:
        return any(token in text for token in self._special)


def end_ids(tokenizer: Any, generation: Any | None = None, template: str = "auto") -> tuple[int, ...]:
    """Ids at which generation stops: the tokenizer's eos, the template's end of turn, the model's own list.

    `generation` is a transformers GenerationConfig or None. Sorted, without repeats; never empty.
    """
    encoder = Encoder(tokenizer, template)
    extra = getattr(generation, "eos_token_id", None)
    listed: Iterable[int] = extra if isinstance(extra, list | tuple) else () if extra is None else (extra,)
    own = tokenizer.eos_token_id
    return tuple(sorted({encoder.end, encoder.text_end, *listed, *(() if own is None else (own,))}))
