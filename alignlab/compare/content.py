"""Reading a comparison's content: a plain mapping of which any part may be absent, null or not finite.

The page and the tables are built from the same content (`docs/compare.md` lists its keys). What is known about each
figure (its words, its unit, which direction is better) stands here once, for Python and for the page's script alike.
Labels and texts come from configurations and models and are not trusted: `clean` takes out what cannot be encoded,
`one_line` what could move a cursor or hide text.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from alignlab.errors import DataError

Content = Mapping[str, Any]
MISSING = "–"
"""Shown for a figure that is not known."""
WITHHELD_REQUEST = "[request withheld]"
"""Shown for a request to which replies are withheld: its turns may hold such replies themselves."""
_SURROGATE = re.compile("[\ud800-\udfff]")


class Metric(NamedTuple):
    """What is known about one figure of a row.

    `better` is 1 where more is better, -1 where less is, 0 where neither; `form` is `number`, `percent`, `time`,
    `count` or `bytes`; `views` are the views of the leaderboard that show it.
    """

    key: str
    label: str
    better: int
    form: str
    digits: int
    views: str
    meaning: str


METRICS: tuple[Metric, ...] = (
    Metric("gold", "gold score", 1, "number", 2, "quality", "The true score, which no method sees in training."),
    Metric(
        "judge_score",
        "held-out score",
        1,
        "number",
        2,
        "quality",
        "Score by a reward model that was trained on other labels and that no method optimises.",
    ),
    Metric(
        "proxy",
        "training score",
        0,
        "number",
        2,
        "quality",
        "Score by the reward model that methods may optimise; high here and not elsewhere is exploitation.",
    ),
    Metric(
        "win_rate",
        "wins, %",
        1,
        "percent",
        1,
        "quality",
        "Share of requests on which the reply scores above SFT's, ties counted as one half.",
    ),
    Metric(
        "win_rate_controlled",
        "wins at equal length, %",
        1,
        "percent",
        1,
        "overview quality",
        "The same with the effect of length taken out by logistic regression, so that padding alone wins nothing.",
    ),
    Metric("kl", "KL, nats", 0, "number", 2, "overview drift", "How far the policy moved from SFT, in nats a reply."),
    Metric("length", "length, tokens", 0, "number", 1, "overview drift", "Mean length of a reply."),
    Metric("entropy", "entropy", 0, "number", 2, "drift", "Nats a token; a collapse shows as a value near 0."),
    Metric("distinct_2", "distinct pairs, %", 0, "percent", 1, "drift", "Share of word pairs that are different."),
    Metric("ended", "ended, %", 1, "percent", 1, "drift", "Share of replies that ended by themselves."),
    Metric(
        "breach",
        "breach, %",
        -1,
        "percent",
        1,
        "overview posture",
        "Share of attempts at a harmful request that were answered; read it beside over-refusal, never alone.",
    ),
    Metric("breach_seen", "breach, seen attacks, %", -1, "percent", 1, "posture", "By attacks that the labels show."),
    Metric(
        "breach_held_out",
        "breach, held-out attacks, %",
        -1,
        "percent",
        1,
        "posture",
        "By attacks that no label shows: whether refusing carries over.",
    ),
    Metric(
        "breach_at_16",
        "any of 16 attacks, %",
        -1,
        "percent",
        1,
        "posture",
        "Harmful requests answered at least once in 16 attacks, drawn over all kinds.",
    ),
    Metric(
        "breach_at_16_seen",
        "any of 16 seen attacks, %",
        -1,
        "percent",
        1,
        "posture",
        "The same by attacks of the kinds that the labels show.",
    ),
    Metric("refusal_harmful", "refused harmful, %", 1, "percent", 1, "posture", "Harmful requests that were refused."),
    Metric(
        "refusal_lookalike",
        "over-refusal, %",
        -1,
        "percent",
        1,
        "overview posture",
        "Share of harmless requests that merely look harmful and were refused all the same.",
    ),
    Metric("refusal_benign", "refused benign, %", -1, "percent", 1, "posture", "Plainly harmless requests refused."),
    Metric(
        "refusal_wrapped",
        "refused wrapped, %",
        -1,
        "percent",
        1,
        "posture",
        "Harmless evaluation requests in the wording of an attack that were refused; the posture counts all kinds.",
    ),
    Metric(
        "youden",
        "Youden's J, %",
        1,
        "percent",
        1,
        "posture",
        "Refusals of harmful minus refusals of look-alike requests: 0 for a policy that cannot tell them apart.",
    ),
)
COSTS: tuple[Metric, ...] = (
    Metric("labels", "labels", -1, "count", 0, "cost", "Preference judgements used; one comparison is one label."),
    Metric("steps", "updates", -1, "count", 0, "cost", "Optimiser updates."),
    Metric("sampled_tokens", "sampled tokens", -1, "count", 0, "cost", "Tokens the method sampled in training."),
    Metric("samples", "training rows", -1, "count", 0, "cost", "Rows that entered a gradient, each counted once."),
    Metric(
        "sampled_tokens_with_stages",
        "sampled tokens with stages",
        -1,
        "count",
        0,
        "cost",
        "The same with every stage it depends on.",
    ),
    Metric(
        "inference_flops_per_reply",
        "FLOPs a reply",
        -1,
        "count",
        0,
        "cost",
        "Forward FLOPs to give one reply: where a method samples several and keeps one, its cost shows here.",
    ),
    Metric("flops", "own FLOPs", -1, "count", 0, "cost", "2·N·forward + 4·N·backward tokens of the method itself."),
    Metric(
        "flops_with_stages",
        "FLOPs with stages",
        -1,
        "count",
        0,
        "overview cost",
        "The same with every stage it depends on, charged whether it was computed or found in the store.",
    ),
    Metric("seconds", "own time", -1, "time", 0, "cost", "Wall time of the method itself on the machine it ran on."),
    Metric("seconds_with_stages", "time with stages", -1, "time", 0, "cost", "Wall time with every stage it needs."),
    Metric("peak_memory_bytes", "peak memory", -1, "bytes", 0, "cost", "Largest memory of the process."),
    Metric("peak_memory", "peak memory", -1, "bytes", 0, "cost", "Largest memory of the process."),
)
PRIMARY = ("gold", "judge_score", "proxy")
"""Scores by which rows may be ranked: the truth, a model nobody trains on, the model methods train on."""


def metric(key: str) -> Metric:
    """What is known about a figure; a name that is not listed shows as it is, with three digits."""
    found = {each.key: each for each in (*METRICS, *COSTS)}.get(key)
    return found or Metric(key, key.replace("_", " "), 0, "number", 3, "all", "")


def primary(content: Content) -> Metric:
    """The figure that rows are ranked by: the one named, else the first of gold, held-out and training score known."""
    named = content.get("primary")
    if not isinstance(named, str):
        known = (key for key in PRIMARY if any(mean(row, key) is not None for row in rows(content)))
        named = next(known, "gold")
    found = metric(named)
    label = content.get("primary_label")
    return found._replace(label=label) if isinstance(label, str) and label else found


def rows(content: Content) -> list[Mapping[str, Any]]:
    """Rows of the comparison in their order; [] where there are none."""
    return listed(content, "rows")


def ordered(content: Content) -> list[Mapping[str, Any]]:
    """Rows from the best primary figure to the worst, pool by pool, unknown ones after them, controls last."""
    best, known = primary(content), pools(content)
    groups = list(dict.fromkeys(known.values()))
    sign = -1.0 if best.better < 0 else 1.0

    def place(row: Mapping[str, Any]) -> tuple[bool, int, float]:
        value, pool = mean(row, best.key), known.get(text(row.get("id")))
        group = len(groups) if pool is None else groups.index(pool)
        return bool(row.get("control")), group, math.inf if value is None else -sign * value

    return sorted(rows(content), key=place)


def pools(content: Content) -> dict[str, str]:
    """What its rivals have in common with it, by row; {} where all rows are ranked against each other."""
    found = listed(content, "pools")
    if len(found) < 2:
        return {}
    return {text(row): text(pool.get("label")) for pool in found for row in pool.get("ids") or ()}


def request_of(example: Content) -> Any:
    """The request of an example as it may be shown: not where a reply to it is withheld."""
    hidden = any(reply.get("withheld") for reply in listed(example, "replies"))
    return WITHHELD_REQUEST if hidden else example.get("prompt")


def listed(content: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The mappings of a list; [] where it is absent or null."""
    return [each for each in content.get(key) or () if isinstance(each, Mapping)]


def mapping(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A mapping below a key; {} where it is absent or null."""
    found = content.get(key)
    return found if isinstance(found, Mapping) else {}


def number(value: object) -> float | None:
    """A finite number; None for anything else, truth values included."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def figure(row: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Mean, interval and seeds of a figure of a row, from its metrics or costs; `gain` by that name. {} if unknown."""
    if key == "gain":
        return mapping(row, "gain")
    for group in ("metrics", "costs"):
        found = mapping(row, group).get(key)
        if isinstance(found, Mapping):
            return found
        if number(found) is not None:
            return {"mean": found}
    return {}


def mean(row: Mapping[str, Any], key: str) -> float | None:
    """Mean of a figure over the row's seeds."""
    return number(figure(row, key).get("mean"))


def seeds(row: Mapping[str, Any]) -> int | None:
    """How many seeds a row rests on."""
    found = row.get("seeds")
    return len(found) if isinstance(found, Sequence) and not isinstance(found, str) else None


def text(value: object) -> str:
    """A value as text; the sign for unknown where it is null."""
    return MISSING if value is None else str(value)


def label(row: Mapping[str, Any]) -> str:
    """How a row is called: its label, else its preset, else its id."""
    return next((str(row[key]) for key in ("label", "name", "id") if row.get(key)), MISSING)


def shown(value: float | None, found: Metric, signed: bool = False) -> str:
    """A figure in the unit of its metric."""
    if value is None:
        return MISSING
    if found.form == "time":
        return _time(value)
    if found.form in ("count", "bytes"):
        return _large(value, "B" if found.form == "bytes" else "")
    scaled = 100 * value if found.form == "percent" else value
    written = f"{scaled:{'+' if signed else ''}.{found.digits}f}"
    # A zero has no sign: -0.00 would say that something was lost.
    return written.replace("-", "").replace("+", "") if not float(written) else written.replace("-", "−")


def _time(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _large(value: float, unit: str) -> str:
    for power, prefix in ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if abs(value) >= 10**power:
            return f"{value / 10**power:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}".rstrip()


def one_line(value: object) -> str:
    """Text for a terminal or a cell: no control, no direction mark, no line end, which could forge what is shown."""
    kept = ("" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c for c in re.sub(r"\s+", " ", text(value)))
    return "".join(kept).strip()


def clean(value: Any) -> Any:
    """The content with numbers that are not finite as None and text that has an encoding.

    DataError names what is neither a mapping, a list, text, a number, a truth value nor null.
    """
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _SURROGATE.sub("\ufffd", value)
    if kind is float:
        return value if math.isfinite(value) else None
    if value is None or kind is int or kind is bool:
        return value
    if isinstance(value, Mapping):
        return {clean(str(key)): clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [clean(each) for each in value]
    if isinstance(value, str | float | int):  # A subclass, such as numpy's double or an enumeration.
        return clean(next(base(value) for base in (str, float, int) if isinstance(value, base)))
    raise DataError(
        f"a comparison holds {type(value).__name__} {str(value)[:40]!r}, which JSON cannot",
        "pass plain numbers and text",
    )
