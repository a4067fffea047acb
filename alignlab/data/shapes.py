"""One row's dictionary to a `Pair`, `Label`, `Demonstration` or `Prompt`, whatever of the known shapes it has.

Values are checked where they are read, so that a message can name file, row, key and remedy. Rows that are well
formed but carry nothing to learn from (empty, identical, diverging) are skipped with a reason, which is counted.
"""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alignlab.data.readers import Record
from alignlab.data.schema import Completion, Demonstration, Label, Message, Pair, Prompt, Row, Safety
from alignlab.data.transcripts import is_transcript, split_transcript
from alignlab.errors import DataError

ROLES: Mapping[str, str] = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot"), "assistant"),
    "system": "system",
}
"""Names of roles in the wild."""

DESIRABLE: Mapping[str, bool] = {
    **dict.fromkeys(("true", "1", "+1", "good", "desirable", "chosen"), True),
    **dict.fromkeys(("false", "0", "-1", "bad", "undesirable", "rejected"), False),
}
"""Spellings of a label."""

SAFETY: Mapping[str, tuple[str, ...]] = {
    "pairs": ("chosen_safe", "rejected_safe"),
    "transcripts": ("chosen_safe", "rejected_safe"),
    "responses": ("is_response_0_safe", "is_response_1_safe", "safer_response_id"),
}
"""Columns of safety labels that rows of a shape may have: all of them or none."""

Turns = tuple[Message, ...]


class Skipped(Exception):
    """This row carries nothing to learn from; the text says why."""


@dataclass(frozen=True)
class Parser:
    """How rows are read. `columns` maps our names to those in the file."""

    columns: Mapping[str, str] = field(default_factory=dict)
    text_as: str = "text"

    def parse(self, record: Record, shape: str) -> Row:
        """A row of the given shape. Raises DataError for a malformed one, Skipped for one without content."""
        return _SHAPES[shape](_Values(record, self))


@dataclass(frozen=True)
class _Values:
    """Checked access to one row."""

    record: Record
    parser: Parser

    def get(self, key: str) -> Any:
        """The value, or None where the row has no such column or it is blank."""
        value = self.record.values.get(self.parser.columns.get(key, key))
        return None if isinstance(value, float) and math.isnan(value) else value

    def has(self, *keys: str) -> bool:
        """Whether the row has all these columns."""
        return all(self.parser.columns.get(key, key) in self.record.values for key in keys)

    def need(self, *keys: str) -> Any:
        """The value of the first of these columns that the row has."""
        key = next((key for key in keys if self.has(key)), None)
        if key is None:
            there = ", ".join(map(str, self.record.values)) or "none"
            raise self.error(
                f"key {keys[0]!r} is missing (keys there: {there})",
                f"add it, or name the column that holds it: data.columns={{{keys[0]}: ‹name›}}",
            )
        value = self.get(key)
        if value is None:
            raise self.error(f"key {key!r} is null", "give it a value or remove the row")
        return value

    def error(self, message: str, remedy: str) -> DataError:
        """A message that says where."""
        return DataError(f"{self.record.where}: {message}", remedy)

    def turns(self, key: str, value: Any) -> Turns | None:
        """A conversation, from a list of messages, one message, or either as JSON text; None for other text."""
        if isinstance(value, str):
            value = _messages_in(value)
            if value is None:
                return None
        listed = [value] if isinstance(value, Mapping) else value
        if not isinstance(listed, Sequence) or not listed:
            kind = "an empty list" if listed == [] else type(value).__name__
            raise self.error(
                f"key {key!r} must be text or a list of messages, got {kind}",
                'write text, or [{"role": "user", "content": "…"}, …]',
            )
        return tuple(self._message(key, number, item) for number, item in enumerate(listed, start=1))

    def _message(self, key: str, number: int, item: Any) -> Message:
        if not isinstance(item, Mapping):
            raise self.error(
                f"key {key!r}, message {number}: expected an object with role and content, got {type(item).__name__}",
                'write {"role": "user", "content": "…"}',
            )
        role, content = item.get("role", item.get("from")), item.get("content", item.get("value"))
        if not isinstance(content, str):
            kind = "null" if content is None else type(content).__name__
            raise self.error(f"key {key!r}, message {number}: content must be text, got {kind}", "repair the row")
        if str(role).lower() not in ROLES:
            raise self.error(
                f"key {key!r}, message {number}: unknown role {role!r}",
                f"use {', '.join(ROLES)}; turns of tools are not supported",
            )
        return Message(ROLES[str(role).lower()], content)

    def prompt(self, turns: Turns | None, text: str | None = None) -> Prompt:
        """A prompt from a conversation or from text, with a name that depends on its content only."""
        if turns is None:
            assert text is not None
            turns = (Message("user", text),) if self.parser.text_as == "user" else None
        if turns is not None and (not turns or turns[-1].role != "user"):
            last = turns[-1].role if turns else "nothing"
            raise self.error(f"the prompt must end in a turn of the user, ends in {last}", "repair the row")
        first = _first_request(turns, text or "")
        content = json.dumps([text] if turns is None else [list(turn) for turn in turns], ensure_ascii=False)
        kind = self.get("kind")
        return Prompt(
            id=_digest(content),
            messages=turns or (),
            text=text if turns is None else None,
            kind="" if kind is None else str(kind),
            base=base_of(first),
        )

    def number(self, key: str, low: float, high: float) -> float | None:
        """An optional number within bounds."""
        value = self.get(key)
        if value is None or value == "":
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise self.error(f"key {key!r} must be a number, got {value!r}", "repair the row") from None
        if not low <= number <= high or math.isinf(number):
            raise self.error(f"key {key!r} must lie in [{low:g}, {high:g}], got {number:g}", "repair the row")
        return number

    def flag(self, key: str) -> bool:
        """A column that says yes or no."""
        return DESIRABLE[self._word(key, DESIRABLE)]

    def which(self, key: str, names: tuple[str, str]) -> int:
        """A column that names one of two completions: 0 or 1."""
        return names.index(self._word(key, names))

    def _word(self, key: str, known: Collection[str]) -> str:
        value = self.need(key)
        text = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip().lower()
        if text not in known:
            raise self.error(f"key {key!r} must be one of {', '.join(known)}, got {value!r}", "repair the row")
        return text

    def labelled(self, shape: str) -> bool:
        """Whether this row has the columns of safety labels, with values in all of them."""
        keys = SAFETY[shape]
        blank = [key for key in keys if self.get(key) in (None, "")]
        if 0 < len(blank) < len(keys):
            raise self.error(
                f"key {blank[0]!r} is missing or empty, and other safety labels are there",
                f"give {', '.join(keys)} or none of them; for other names: data.columns={{{blank[0]}: ‹name›}}",
            )
        return not blank

    def context(self) -> tuple[Turns | None, str | None]:
        """The prompt column as turns or as text; (None, None) where the row has none."""
        key = next((key for key in ("prompt", "messages", "conversations") if self.has(key)), None)
        if key is None:
            return None, None
        value = self.need(key)
        turns = self.turns(key, value)
        system = self.get("system")
        if turns is not None and isinstance(system, str) and system.strip() and turns[0].role != "system":
            turns = (Message("system", system), *turns)
        return turns, value if turns is None else None

    def reply(self, *keys: str) -> tuple[Turns, str]:
        """A completion column: the turns before the last assistant turn (if given), and its text."""
        key = next((key for key in keys if self.has(key)), keys[0])
        value = self.need(*keys)
        turns = self.turns(key, value)
        if turns is None:
            return (), value
        if turns[-1].role != "assistant":
            raise self.error(f"key {key!r} must end in a turn of the assistant", "repair or remove the row")
        return turns[:-1], turns[-1].content


def _messages_in(text: str) -> Any:
    """Messages written as JSON text, as CSV files hold them; None for any other text."""
    if text.lstrip()[:2] not in ("[{", '{"'):
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return None
    first = value[0] if isinstance(value, list) else value
    return value if {"role", "content"} <= set(first) or {"from", "value"} <= set(first) else None


def _first_request(turns: Turns | None, text: str) -> str:
    """What a conversation opens with, also when it is stored as one text."""
    if turns is None and is_transcript(text):
        turns = split_transcript(text)[0]
    return text if turns is None else next(turn.content for turn in turns if turn.role == "user")


def base_of(text: str) -> str:
    """The unit of splitting: a hash of the first request, blind to case, spacing and Unicode form."""
    return _digest(" ".join(unicodedata.normalize("NFKC", text).casefold().split()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _completion(text: str) -> Completion:
    if not text.strip():
        raise Skipped("empty completion")
    return Completion(text)


def _pair(row: _Values) -> Pair:
    turns, text = row.context()
    (before, chosen), (other, rejected) = row.reply("chosen"), row.reply("rejected")
    if before != other:
        raise Skipped("completions that diverge before the last turn")
    if before:
        turns, text = before, None
    elif turns is None and text is None:
        raise row.error(
            "key 'prompt' is missing, and chosen and rejected are not whole conversations",
            "add prompt, or name the column that holds it: data.columns={prompt: ‹name›}",
        )
    elif turns is None and not isinstance(row.get("chosen"), str):
        turns, text = (Message("user", text or ""),), None
    return _preferred(row, row.prompt(turns, text), chosen, rejected)


def _transcript(row: _Values) -> Pair:
    sides = []
    for key in ("chosen", "rejected"):
        value = row.need(key)
        if not isinstance(value, str) or not is_transcript(value):
            raise row.error(
                f"key {key!r} is not a transcript of Human and Assistant turns",
                "use data.format=pairs for other shapes",
            )
        sides.append(split_transcript(value))
    (before, chosen), (other, rejected) = sides
    if before != other:
        raise Skipped("completions that diverge before the last turn")
    return _preferred(row, row.prompt(before), chosen, rejected)


def _preferred(row: _Values, prompt: Prompt, chosen: str, rejected: str) -> Pair:
    sides = _completion(chosen), _completion(rejected)
    if chosen.strip() == rejected.strip():
        raise Skipped("identical completions")
    margin, probability = row.number("margin", -math.inf, math.inf), row.number("probability", 0, 1)
    return Pair(prompt, *sides, margin, probability, _safety(row))


def _safety(row: _Values) -> Safety | None:
    """Safety labels of chosen and rejected. Which is worse follows where one alone is harmful, or is said."""
    if not row.labelled("pairs"):
        return None
    harmful = not row.flag("chosen_safe"), not row.flag("rejected_safe")
    if row.get("safer") not in (None, ""):
        return Safety(harmful, 1 - row.which("safer", ("chosen", "rejected")))
    return Safety(harmful, None if harmful[0] == harmful[1] else harmful.index(True))


def _responses(row: _Values) -> Pair:
    """Two numbered responses, judged apart for help and for harm, as in PKU-SafeRLHF."""
    turns, text = row.context()
    if turns is None and text is None:
        row.need("prompt")
    replies = [row.reply(f"response_{side}")[1] for side in range(2)]
    best = row.which("better_response_id", ("0", "1"))
    if replies[0].strip() == replies[1].strip():
        raise Skipped("identical completions")
    safety = None
    if row.labelled("responses"):
        harmful = not row.flag("is_response_0_safe"), not row.flag("is_response_1_safe")
        safety = Safety(harmful, 1 - row.which("safer_response_id", ("0", "1")))
        safety = safety.swapped if best else safety
    chosen, rejected = (_completion(replies[side]) for side in (best, 1 - best))
    return Pair(row.prompt(turns, text), chosen, rejected, safety=safety)


def _answered(row: _Values) -> tuple[Prompt, Completion]:
    turns, text = row.context()
    if row.has("completion") or row.has("response"):
        if turns is None and text is None:
            row.need("prompt")
        before, reply = row.reply("completion", "response")
        if turns is None and not isinstance(row.need("completion", "response"), str):
            turns, text = before or (Message("user", text or ""),), None
        return row.prompt(turns, text), _completion(reply)
    if turns is None:
        row.need("messages" if text is None else "completion")
    assert turns is not None
    if turns[-1].role != "assistant":
        raise row.error("the conversation must end in a turn of the assistant", "repair or remove the row")
    return row.prompt(turns[:-1]), _completion(turns[-1].content)


def _demonstration(row: _Values) -> Demonstration:
    return Demonstration(*_answered(row))


def _label(row: _Values) -> Label:
    desirable = row.flag("kto_tag" if row.has("kto_tag") and not row.has("label") else "label")
    return Label(*_answered(row), desirable)


def _prompt(row: _Values) -> Prompt:
    turns, text = row.context()
    if turns is None and text is None:
        row.need("prompt")
    if text is not None and not text.strip():
        raise Skipped("empty prompt")
    return row.prompt(turns, text)


_SHAPES: Mapping[str, Callable[[_Values], Row]] = {
    "pairs": _pair,
    "transcripts": _transcript,
    "responses": _responses,
    "labels": _label,
    "demonstrations": _demonstration,
    "prompts": _prompt,
}


def detect(record: Record, parser: Parser) -> str:
    """The shape of a row by its keys; DataError when it is none we know."""
    row = _Values(record, parser)
    if row.has("chosen", "rejected"):
        chosen = row.get("chosen")
        own = any(row.has(key) for key in ("prompt", "messages", "conversations"))
        return "transcripts" if not own and isinstance(chosen, str) and is_transcript(chosen) else "pairs"
    if row.has("response_0", "response_1"):
        return "responses"
    answered = any(row.has(key) for key in ("completion", "response", "messages", "conversations"))
    if answered and (row.has("label") or row.has("kto_tag")):
        return "labels"
    if answered:
        return "demonstrations"
    if row.has("chosen") or row.has("rejected"):
        return "pairs"
    if row.has("prompt"):
        return "prompts"
    raise DataError(
        f"{record.where}: keys {', '.join(map(str, record.values)) or 'none'} are no shape of rows we know",
        "rows have prompt with chosen and rejected, with completion, with completion and label, or messages; name "
        "other columns as in data.columns={prompt: ‹name›}",
    )
