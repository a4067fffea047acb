"""A comparison as one wandb run of its group: leaderboard, frontiers and replies as tables, the page, the answer.

The content is the plain mapping that the comparison's page is made of; any part of it may be absent or null. What is
withheld on the page is withheld here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from alignlab.compare.content import request_of
from alignlab.config import TrackingConfig

JOB = "comparison"
"""Type of the run, by which panels and `wandb-sync` tell it from the runs it is about."""
WITHHELD = "[withheld]"
Content = Mapping[str, Any]
Row = dict[str, Any]


def log_comparison(content: Content, folder: Path, settings: TrackingConfig, group: str) -> Path | None:
    """Record the comparison of a sweep below its folder. Returns wandb's folder of the run, None when kind is csv.

    Every `*.html` page in the folder is recorded too. StoreError when wandb cannot start a run.
    """
    if settings.kind != "wandb":
        return None
    from alignlab.tracking.wandb import WandbTracker

    tracker = WandbTracker(
        project=settings.project,
        entity=settings.entity,
        group=settings.group or group,
        tags=settings.tags,
        name=f"{JOB} of {settings.group or group}",
        mode=settings.mode,
        directory=folder,
        config={key: content[key] for key in ("title", "primary", "baseline", "seeds", "version") if content.get(key)},
        job_type=JOB,
    )
    try:
        for name, rows in tables(content).items():
            tracker.table(name, rows)
        for page in sorted(folder.glob("*.html")):
            tracker.page(page.stem, page)
        tracker.summary({key: content[key] for key in ("title", "answer", "made") if content.get(key)})
    except BaseException:
        tracker.finish(failed=True)
        raise
    tracker.finish()
    return tracker.folder


def tables(content: Content) -> dict[str, list[Row]]:
    """Every table of the comparison by name; each row of a table has the same columns."""
    frontier = _mapping(content.get("frontier"))
    labels = {str(row.get("id")): str(row.get("label") or row.get("id")) for row in _rows(content.get("rows"))}
    found = {
        "leaderboard": [_standing(row) for row in _rows(content.get("rows"))],
        "frontier": [{"label": labels.get(str(p.get("id")), ""), **p} for p in _rows(frontier.get("points"))],
        **{f"frontier_{part}": _plain(value) for part, value in frontier.items() if part != "points"},
        "against_baseline": _plain(content.get("against_baseline")),
        "samples": list(_replies(_rows(content.get("examples")), labels)),
        "failures": _plain(content.get("failures")),
    }
    return {name: _even(rows) for name, rows in found.items() if rows}


def _standing(row: Content) -> Row:
    """A row of the leaderboard: names, tiers, then each figure with its interval."""
    rank = _mapping(row.get("rank"))
    flat: Row = {name: row.get(name) for name in ("label", "name", "method", "control", "kl_known")}
    flat["tiers"] = "".join(map(str, row.get("tiers") or ()))
    flat |= {f"rank_{end}": rank.get(end) for end in ("low", "high")}
    flat["seeds"] = len(row.get("seeds") or ())
    flat |= _figures({"gain": row.get("gain"), **_mapping(row.get("metrics"))})
    flat |= _figures({f"cost_{name}": value for name, value in _mapping(row.get("costs")).items()})
    flat["flags"] = ", ".join(str(flag.get("name")) for flag in _rows(row.get("flags")))
    return flat | {f"runs_{name}": value for name, value in _mapping(row.get("counts")).items()}


def _figures(estimates: Mapping[str, Any]) -> Row:
    found: Row = {}
    for name, value in estimates.items():
        each = _mapping(value)
        found[name] = each.get("mean")
        found |= {f"{name}_{end}": each[end] for end in ("low", "high") if each.get(end) is not None}
    return found


def _replies(examples: Iterable[Content], labels: Mapping[str, str]) -> Iterator[Row]:
    for example in examples:
        for reply in _rows(example.get("replies")):
            hidden = bool(reply.get("withheld"))
            who = str(reply.get("id"))
            yield {
                **{name: example.get(name) for name in ("kind", "attack")},
                "prompt": request_of(example),
                "label": labels.get(who, who),
                "text": WITHHELD if hidden else reply.get("text"),
                "length": reply.get("length"),
                "verdict": reply.get("verdict"),
                **{f"score_{name}": value for name, value in _mapping(reply.get("scores")).items()},
            }


def _even(rows: Sequence[Row]) -> list[Row]:
    """The same columns in every row, in the order they first appear; lists and mappings become text."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: _cell(row.get(name)) for name in columns} for row in rows]


def _cell(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={each}" for name, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return value


def _rows(value: Any) -> list[Content]:
    return [each for each in value or () if isinstance(each, Mapping)]


def _plain(value: Any) -> list[Row]:
    return [dict(each) for each in _rows(value)]


def _mapping(value: Any) -> Content:
    return value if isinstance(value, Mapping) else {}
