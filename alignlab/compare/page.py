"""The page about a comparison: one file that needs nothing else, neither network nor program, to be read.

Replies of models and labels of configurations are not trusted. Jinja escapes what it writes; everything that the
script reads travels as JSON in a data block in which no character can end the block; the script puts text into the
document as text alone. A content security policy admits exactly the one script and the one style sheet that stand in
the file, by hash, and no address at all, so that even a hole in the above would run and fetch nothing.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from alignlab.compare import posture_board
from alignlab.compare.board import FLAGS, RANK, SEEDS, TIER, board
from alignlab.compare.content import (
    COSTS,
    METRICS,
    Content,
    Metric,
    clean,
    listed,
    mapping,
    number,
    primary,
    rows,
    seeds,
    shown,
    text,
)
from alignlab.compare.prepare import prepared

SCRIPTS = (
    "base",
    "plot",
    "marks",
    "board",
    "effects",
    "frontier",
    "heat",
    "posture",
    "conditions",
    "tuning",
    "viewer",
    "main",
)
"""Parts of the page's script in the order they are joined."""
HUES = 8
"""Colours that can be told apart, colour-blind readers included."""
_UNSAFE = {letter: f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


def page(content: Content) -> str:
    """The whole page as HTML. Parts of the content that are absent or null are left out of it.

    DataError when the content holds what JSON cannot.
    """
    from markupsafe import Markup

    safe = prepared(clean(dict(content)))
    template, style, script = _assets()
    found = board(safe)
    written: str = template.render(
        content=safe,
        board=found,
        style=Markup(style),
        script=Markup(script),
        style_hash=digest(style),
        script_hash=digest(script),
        data=Markup(embedded({**safe, "view": _view(safe)})),
        has=sections(safe),
        facts=_facts(safe),
        meanings=_meanings(safe, {head.key: (head.label, head.meaning) for head in found.columns}),
        matched=_matched(safe),
        conditions=_conditions(safe),
        averaged=_averaged(safe),
        stepwise=_stepwise(safe),
        posture=posture_board.table(safe),
        numbers={text(row.get("id")): place for place, row in enumerate(rows(safe))},
        marks=[_mark(index) for index in families(safe)],
        tips={"tier": TIER, "rank": RANK, "seeds": SEEDS, "flags": FLAGS},
    )
    return written


@cache
def _assets() -> tuple[Any, str, str]:
    """The compiled template, the style sheet and the script, as they were installed."""
    from jinja2 import Environment, Undefined

    folder = files("alignlab.compare").joinpath("assets")
    parts = [folder.joinpath(f"{name}.js").read_text("utf-8") for name in SCRIPTS]
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["text"] = lambda value: text(None if isinstance(value, Undefined) else value)
    template = environment.from_string(folder.joinpath("page.html").read_text("utf-8"))
    script = "(() => {\n'use strict';\n" + "\n".join(parts) + "})();\n"
    return template, folder.joinpath("page.css").read_text("utf-8"), script


def embedded(value: Any) -> str:
    """JSON that no character of can end the element it stands in, in HTML and in script alike."""
    written = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter, escape in _UNSAFE.items():
        written = written.replace(letter, escape)
    return written


def digest(source: str) -> str:
    """The source of a policy that admits this inline text alone."""
    return f"sha256-{b64encode(hashlib.sha256(source.encode()).digest()).decode()}"


def families(content: Content) -> list[tuple[int, int]]:
    """Colour and shape of each row, by number.

    Rows of one method share both. The colour is that of the row's `family` where rows name one, else the method's
    own; the shape tells methods of one colour apart. Controls have the colour -1.
    """
    found = rows(content)
    groups = list(
        dict.fromkeys(text(row.get("family") or row.get("method")) for row in found if not row.get("control"))
    )
    inside: dict[int, list[str]] = {}
    marks = []
    for row in found:
        method = text(row.get("method"))
        hue = -1 if row.get("control") else groups.index(text(row.get("family") or row.get("method"))) % HUES
        members = inside.setdefault(hue, [])
        if method not in members:
            members.append(method)
        marks.append((hue, members.index(method)))
    return marks


def sections(content: Content) -> Mapping[str, bool]:
    """Which parts of the page the content has something for."""
    found = rows(content)
    frontier, posture = mapping(content, "frontier"), ("breach", "refusal_lookalike")
    known = {
        "board": bool(found),
        "failures": bool(content.get("failures") or content.get("not_compared")),
        "effects": bool(content.get("against_baseline") or content.get("pairs")),
        "strip": any(mapping(each, "by_seed") for row in found for each in _figures(row)),
        "frontier": bool(listed(frontier, "points")),
        "matched": bool(listed(mapping(content, "matched_kl"), "rows")),
        "wins": bool(mapping(content, "wins").get("ids")),
        "conditions": bool(listed(mapping(content, "worlds"), "rows")),
        "posture": any(all(isinstance(mapping(row, "metrics").get(key), Mapping) for key in posture) for row in found),
        "breach_at": any(
            str(k) != "1"
            for row in (*found, *listed(mapping(content, "posture"), "rows"))
            for k in mapping(row, "breach_at")
        ),
        "attacks": any(mapping(row, "attacks") for row in found),
        "posture_table": bool(posture_board.table(content).columns),
        "survival": any(mapping(row, "survival").get("turns") for row in listed(mapping(content, "posture"), "rows")),
        "strata": any(mapping(row, "strata") for row in found),
        "tuning": bool(listed(mapping(content, "tuning"), "curves") or listed(mapping(content, "tuning"), "chosen")),
        "costs": any(mapping(row, "gain") and mapping(row, "costs") for row in found),
        "examples": bool(listed(content, "examples")),
    }
    safety = ("posture", "posture_table", "breach_at", "survival", "attacks")
    return {**known, "safety": any(known[part] for part in safety)}


def _figures(row: Mapping[str, Any]) -> list[Any]:
    return [each for each in mapping(row, "metrics").values() if isinstance(each, Mapping)]


def _view(content: Content) -> dict[str, Any]:
    """What the script needs besides the content: words and units of figures, colours and shapes of rows."""
    best = primary(content)
    known = {each.key: each._asdict() for each in (*METRICS, *COSTS)}
    return {"metrics": known | {best.key: best._asdict()}, "primary": best.key, "marks": families(content)}


def _mark(mark: tuple[int, int]) -> str:
    return f"h{mark[0]}" if mark[0] >= 0 else "control"


def _facts(content: Content) -> list[str]:
    """The line under the answer."""
    found, facts = rows(content), []
    counts = [count for row in found if (count := seeds(row))]
    if found:
        facts.append(f"{len(found)} {'row' if len(found) == 1 else 'rows'}")
    if counts:
        several = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
        facts.append(f"{several} {'seed' if max(counts) == 1 else 'seeds'} each")
    pairs = listed(content, "pairs")
    if pairs:
        facts.append(f"{sum(bool(pair.get('separated')) for pair in pairs)} of {len(pairs)} pairs told apart")
    failed = len(listed(content, "failures"))
    if failed:
        facts.append(f"{failed} {'run' if failed == 1 else 'runs'} without figures")
    return facts


def _meanings(content: Content, columns: Mapping[str, tuple[str, str]]) -> list[tuple[str, str]]:
    """One plain sentence for each statistic on the page."""
    has, found = sections(content), rows(content)
    counts = sorted({count for row in found if (count := seeds(row))})
    several = " or ".join(map(str, counts)) or "the number of seeds"
    said = [
        (
            f"n = {several}" if counts else "n",
            f"Why n is {several} and not the number of prompts: another seed moves data, labels and reward model, and "
            "prompts that met the same ones are not independent evidence about the method.",
        )
    ]
    if has["board"]:
        said += [("tier", TIER), ("rank", RANK)]
    if has["effects"]:
        said.append(("simultaneous interval", SIMULTANEOUS))
    said += [(words, meaning) for words, meaning in columns.values() if meaning]
    optional = {
        "frontier": [("√KL axis", ROOT), ("best of n", BEST_OF), ("fitted curve", FITTED)],
        "matched": [("at matched KL", MATCHED)],
        "breach_at": [("breach@k", BREACH_AT)],
        "conditions": [
            *([("interquartile mean", MIDDLE)] if _averaged(content) else []),
            ("how often one gains more", IMPROVEMENT),
        ],
        "tuning": [("expected best of k", EXPECTED)],
    }
    for key, lines in optional.items():
        said += lines if has[key] else []
    return said


SIMULTANEOUS = "All intervals of one drawing hold together in 95 % of comparisons, so one may look for the largest."
ROOT = (
    "Gains grow about linearly with the square root of KL while a policy moves little, which is why drift is drawn so."
)
BEST_OF = "The best of n replies of SFT by the reward model: close to the best gain any policy can have at that KL."
FITTED = "R = d(a − b·d) for best of n and R = d(a − b·log d) for training, with d = √KL (arXiv 2210.10760)."
MATCHED = "Gain read off each method's own frontier at the same KL, never beyond what it reached."
BREACH_AT = "Chance that at least one of k attempts at a harmful request is answered, as a mean over requests."
MIDDLE = (
    "Mean of the middle half of all runs over all conditions, so that neither an easy condition nor a bad run decides."
)
IMPROVEMENT = "Chance that a run of one preset gains more than one of the other under the same condition."
EXPECTED = "Expected validation score of the best of k random trials, which shows what tuning effort buys."


def _matched(content: Content) -> list[tuple[str, list[tuple[str, str]]]]:
    """Rows of the table of gains at matched KL: label, then value and interval for each KL."""
    best, matched = primary(content), mapping(content, "matched_kl")
    labels = {row.get("id"): text(row.get("label") or row.get("id")) for row in rows(content)}
    lines = []
    for each in listed(matched, "rows"):
        cells = [value if isinstance(value, Mapping) else {} for value in each.get("values") or ()]
        lines.append((labels.get(each.get("id"), text(each.get("id"))), [_interval(cell, best) for cell in cells]))
    return lines


def _stepwise(content: Content) -> bool:
    """Whether a test by steps tells a pair apart whose simultaneous interval, the more cautious, holds 0."""
    pairs = [*listed(content, "pairs"), *listed(content, "against_baseline")]
    edges = [(number(pair.get("low")), number(pair.get("high"))) for pair in pairs if pair.get("separated")]
    return any(low is not None and high is not None and low <= 0 <= high for low, high in edges)


def _conditions(content: Content) -> list[tuple[str, list[tuple[str, str]]]]:
    """Rows of the table over conditions: preset, then the mean over all where there is one, and the gain in each."""
    best, found = primary(content), mapping(content, "worlds")
    lines = []
    for each in listed(found, "rows"):
        over_all = [_interval(mapping(each, "iqm"), best)] if _averaged(content) else []
        gains = [
            (shown(number(gain), best, True), "")
            for gain in each.get("gains") or [None] * len(found.get("worlds") or ())
        ]
        lines.append((text(each.get("label")), [*over_all, *gains]))
    return lines


def _averaged(content: Content) -> bool:
    """Whether gains of all conditions have one unit, and so a mean."""
    return any(mapping(each, "iqm") for each in listed(mapping(content, "worlds"), "rows"))


def _interval(cell: Mapping[str, Any], best: Metric) -> tuple[str, str]:
    middle, low, high = (number(cell.get(key)) for key in ("mean", "low", "high"))
    small = "" if low is None or high is None else f"{shown(low, best, True)} to {shown(high, best, True)}"
    return shown(middle, best, True), small
