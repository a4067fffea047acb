"""Draw the README's picture from finished runs: `python benchmarks/picture.py runs/sweeps/* > docs/picture.svg`.

One small dot a seed, one large dot for their mean; the true score on held-out requests, by kind of request.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path

COLOURS = ("#8a8f98", "#2f6fdb", "#d9822b", "#3a9d5d", "#a04ec0")
KINDS = {"all": "all requests", "benign": "benign", "lookalike": "look-alike", "harmful": "harmful"}
WIDTH, LEFT, RIGHT, TOP, ROW, GAP = 760, 130, 40, 64, 20, 14
LOW, HIGH = -0.05, 1.05

Scores = dict[str, dict[str, list[float]]]
"""Method -> kind -> gold of each seed."""


def gold(result: dict, kind: str) -> float:
    if kind == "all":
        return result["metrics"]["eval/gold"]
    return result["strata"][kind]["gold"]["mean"]


def read(folders: Iterable[Path]) -> Scores:
    """Scores of each method, and of the SFT policy each of them started from, counted once a seed."""
    scores: Scores = {"sft": {kind: [] for kind in KINDS}}
    seen: set[str] = set()
    for path in sorted(file for folder in folders for file in folder.glob("**/result.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if not result.get("sft"):
            continue
        start = result["fingerprints"]["baseline"]
        for kind in KINDS:
            rows = scores.setdefault(result["run"]["name"], {name: [] for name in KINDS})
            rows[kind].append(gold(result, kind))
            if start not in seen:
                scores["sft"][kind].append(gold(result["sft"], kind))
        seen.add(start)
    return scores


def x(value: float) -> float:
    return LEFT + (value - LOW) / (HIGH - LOW) * (WIDTH - LEFT - RIGHT)


def dots(values: list[float], y: float, colour: str) -> list[str]:
    mean = statistics.fmean(values)
    seeds = [f'<circle cx="{x(value):.1f}" cy="{y}" r="2.6" fill="{colour}" opacity="0.45"/>' for value in values]
    label = f'<text x="{x(max(values)) + 10:.1f}" y="{y + 4}" font-size="11" fill="{colour}">{mean:.2f}</text>'
    return [*seeds, f'<circle cx="{x(mean):.1f}" cy="{y}" r="6" fill="{colour}"/>', label]


def draw(scores: Scores) -> str:
    methods = sorted(scores, key=lambda name: (name != "sft", name))
    block = ROW * len(methods) + GAP
    height = TOP + block * len(KINDS) + 34
    seeds = max(len(rows["all"]) for rows in scores.values())
    body = [
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff" rx="8"/>',
        f'<text x="20" y="28" font-size="15" font-weight="600" fill="#1c2430">'
        f"True score on held-out requests, {seeds} seeds</text>",
    ]
    for place, name in enumerate(methods):
        left = 20 + 90 * place
        body.append(f'<circle cx="{left + 5}" cy="46" r="5" fill="{COLOURS[place % len(COLOURS)]}"/>')
        body.append(f'<text x="{left + 15}" y="50" font-size="12" fill="#1c2430">{escape(name)}</text>')
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        body.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{height - 28}" stroke="#e4e7ec"/>')
        style = 'font-size="11" text-anchor="middle" fill="#5b6470"'
        body.append(f'<text x="{x(tick):.1f}" y="{height - 10}" {style}>{tick:g}</text>')
    for row, (kind, label) in enumerate(KINDS.items()):
        top = TOP + row * block + GAP / 2
        middle = top + ROW * len(methods) / 2 + 4
        body.append(f'<text x="20" y="{middle:.1f}" font-size="13" fill="#1c2430">{label}</text>')
        for place, name in enumerate(methods):
            body += dots(scores[name][kind], top + ROW * (place + 0.5), COLOURS[place % len(COLOURS)])
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" '
        'font-family="system-ui, sans-serif" aria-label="True score by kind of request">'
    )
    return "\n".join([head, *body, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    sys.stdout.write(draw(read(parser.parse_args().folders)))


if __name__ == "__main__":
    main()
