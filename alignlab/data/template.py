"""How a conversation becomes text: the tokenizer's own chat template, or a named plain one.

A template renders a prompt up to the point where the answer begins, and an answer as the text that follows.
Chat templates are programs that may rewrite what they are given, so every rendering is checked: the prompt must
be a prefix of the whole conversation, and the answer must be in it unchanged but for outer white space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, Protocol

from jinja2.exceptions import TemplateError

from alignlab.data.schema import Message, Prompt
from alignlab.errors import ConfigError, DataError, ModelError

AUTO, MODEL = "auto", "model"


@dataclass(frozen=True)
class Answer:
    """The text of an answer as the model would write it, without the token that ends it."""

    before: str
    """What the template puts in front, such as an empty block of reasoning."""
    content: str
    after: str
    """What the template puts between the content and the end token."""
    follows: bool = True
    """Whether the prompt's rendering is a prefix of the conversation's, generation marker included."""

    @property
    def text(self) -> str:
        """All of it."""
        return self.before + self.content + self.after


class Template(Protocol):
    """Conversation to text."""

    @property
    def name(self) -> str:
        """As in `data.template`."""
        ...

    @property
    def markup(self) -> bool:
        """Whether special tokens in the text are to be read as such."""
        ...

    def prompt(self, prompt: Prompt) -> str:
        """Text up to where the answer begins."""
        ...

    def answer(self, prompt: Prompt, text: str, start: str) -> Answer:
        """The answer that continues `start`, which is `prompt(prompt)`."""
        ...

    @property
    def end(self) -> int | None:
        """Id of the token that ends an answer where the template has its own, else None."""
        ...


@dataclass(frozen=True)
class PlainTemplate:
    """A line of text before each turn, for models that have no chat template."""

    name: str
    roles: Mapping[str, str]
    """Text before the content of each role."""
    separator: str = "\n\n"
    start: str = ""
    markup: bool = False
    end: int | None = None

    def prompt(self, prompt: Prompt) -> str:
        """The turns, then the marker of the assistant's."""
        turns = [f"{self._mark(m.role, prompt)} {m.content.strip()}" for m in prompt.messages]
        return self.start + self.separator.join([*turns, self._mark("assistant", prompt)])

    def answer(self, prompt: Prompt, text: str, start: str) -> Answer:
        """One space, then the text without outer white space."""
        return Answer(" ", text.strip(), "")

    def _mark(self, role: str, prompt: Prompt) -> str:
        if role not in self.roles:
            raise DataError(
                f"prompt {prompt.id!r} has a turn of role {role!r}, which the {self.name} template cannot show",
                f"use the roles {', '.join(self.roles)}, or a model with a chat template of its own",
            )
        return self.roles[role]


@dataclass(frozen=True)
class BareTemplate:
    """The contents of the turns, one a line, with nothing that tells roles apart."""

    name: str = "none"
    markup: bool = False
    end: int | None = None

    def prompt(self, prompt: Prompt) -> str:
        """Contents, each followed by a line feed."""
        return "".join(f"{message.content}\n" for message in prompt.messages)

    def answer(self, prompt: Prompt, text: str, start: str) -> Answer:
        """The text as it stands."""
        return Answer("", text, "")


PLAIN: Mapping[str, Template] = {
    "plain": PlainTemplate("plain", {"system": "System:", "user": "User:", "assistant": "Assistant:"}),
    "hh": PlainTemplate("hh", {"user": "Human:", "assistant": "Assistant:"}, start="\n\n"),
    "none": BareTemplate(),
}
"""Templates that need no tokenizer, by name."""


class ModelTemplate:
    """The tokenizer's own chat template."""

    name = MODEL
    markup = True

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def prompt(self, prompt: Prompt) -> str:
        """The conversation with the generation marker."""
        return self._apply(prompt.messages, prompt, add_generation_prompt=True)

    def answer(self, prompt: Prompt, text: str, start: str) -> Answer:
        """What the whole conversation adds to the prompt, up to its end token.

        Raises DataError when the template changes earlier turns or the answer itself.
        """
        whole = self._apply([*prompt.messages, Message("assistant", text)], prompt)
        follows = True
        if not whole.startswith(start):
            # The generation marker may differ from how an answer opens (an opened block of reasoning); only the
            # conversation up to it must be the same.
            start, follows = self._apply(prompt.messages, prompt), False
        if not whole.startswith(start):
            raise DataError(
                f"the model's chat template rewrites earlier turns of prompt {prompt.id!r} once an answer "
                "follows, so the model would be trained on another prompt than it is sampled from",
                "use data.template=plain, or a chat template that keeps history",
            )
        rest, (tail, _) = whole[len(start) :], self._tail
        body, content = rest.removesuffix(tail), text.strip()
        at = body.find(content)
        if at < 0 or not rest.endswith(tail):
            raise DataError(
                f"the model's chat template rewrites the answer to prompt {prompt.id!r}",
                "use data.template=plain, or remove what the template strips from the answer",
            )
        close = tail.partition(self._end_text)[0] if self._end_text else ""
        return Answer(body[:at] if follows else "", body[at:], close, follows)

    @cached_property
    def _tail(self) -> tuple[str, int | None]:
        # What follows an answer, learned from a conversation of one exchange, and the first special token in it.
        probe = Prompt(id="template probe", messages=(Message("user", "question"),))
        whole = self._apply([*probe.messages, Message("assistant", "answer")], probe)
        tail = whole.rpartition("answer")[2]
        ids = self.tokenizer(tail, add_special_tokens=False)["input_ids"] if tail else []
        special = {*self.tokenizer.all_special_ids, *self.tokenizer.added_tokens_decoder}
        return tail, next((token for token in ids if token in special), None)

    @property
    def end(self) -> int | None:
        """The first special token the template writes after an answer."""
        return self._tail[1]

    @cached_property
    def _end_text(self) -> str:
        return "" if self.end is None else str(self.tokenizer.convert_ids_to_tokens(self.end))

    def _apply(self, messages: Sequence[Message], prompt: Prompt, add_generation_prompt: bool = False) -> str:
        turns = [message._asdict() for message in messages]
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    turns, tokenize=False, add_generation_prompt=add_generation_prompt, **FIXED_DATE
                )
            )
        except TemplateError as error:
            raise DataError(
                f"the model's chat template refuses prompt {prompt.id!r} "
                f"(roles {', '.join(m.role for m in messages)}): {error}",
                "use data.template=plain, or remove such turns",
            ) from error


def _on_the_day(pattern: str) -> str:
    return DAY.strftime(pattern)


DAY = date(2024, 7, 26)
FIXED_DATE: dict[str, Any] = {"date_string": DAY.strftime("%d %b %Y"), "strftime_now": _on_the_day}
"""Some templates print the date of the day; rows tokenised on different days would then differ."""


def choose(tokenizer: Any, name: str) -> Template:
    """The template called `name`: auto takes the model's own where there is one, else plain."""
    own = bool(getattr(tokenizer, "chat_template", None))
    if name == MODEL and not own:
        raise ModelError("the tokenizer has no chat template", "use data.template=auto or data.template=plain")
    if name in (AUTO, MODEL):
        return ModelTemplate(tokenizer) if own else PLAIN["plain"]
    if name not in PLAIN:
        raise ConfigError(f"unknown template {name!r}", f"data.template is one of {', '.join([AUTO, MODEL, *PLAIN])}")
    return PLAIN[name]
