"""`python -m alignlab compare ‹folders›`, and what every sweep ends with: tables, one page, and the answer."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alignlab import __version__
from alignlab.config import RunConfig
from alignlab.errors import AlignlabError, DataError
from alignlab.stages.files import atomic_write_text
from alignlab.tracking.console import messages, results, say, warn

NAME = "leaderboard"
PAGE = "comparison.html"


def compare(arguments: Sequence[str]) -> int:
    """The verb. Returns the exit code: 1 when runs of the folders have no result."""
    parser = argparse.ArgumentParser(
        prog="python -m alignlab compare",
        description="Compare finished runs: a table, leaderboard.csv, .json and .md, and a page for a browser.",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of runs, or of sweeps")
    parser.add_argument("--out", type=Path, help="where to write; the first folder by default")
    parser.add_argument("--baseline", default="sft", help="row that all others are held against; the default is SFT")
    parser.add_argument("--reveal", action="store_true", help="show real harmful requests and replies")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="what people chose, as `label` wrote it")
    given = parser.parse_args(list(arguments))
    content = contents(given.folders, baseline=given.baseline, reveal=given.reveal)
    if given.labels:
        add_labels(content, given.labels)
    write(content, given.out or given.folders[0])
    show(content, given.out or given.folders[0])
    return int(bool(content["failures"]))


def recommend(arguments: Sequence[str]) -> int:
    """The verb. Returns 0 where the evidence decides, 1 where it does not or no row is within the limits."""
    from alignlab.compare.recommend import Limit
    from alignlab.compare.recommend import recommend as advise

    parser = argparse.ArgumentParser(
        prog="python -m alignlab recommend",
        description="Name the method to use under some limits, and how sure the runs are of it.",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of runs, or of sweeps")
    parser.add_argument("--objective", help="figure to be high; the comparison's own by default")
    parser.add_argument("--least", action="store_true", help="the objective is to be low")
    parser.add_argument("--max-kl", type=float, metavar="NATS")
    parser.add_argument("--max-over-refusal", type=float, metavar="SHARE", help="of look-alike requests")
    parser.add_argument("--max-breach", type=float, metavar="SHARE", help="of attacks on harmful requests")
    parser.add_argument("--max-cost", type=float, metavar="COST")
    parser.add_argument("--cost", default="seconds_with_stages", help="which cost; default: %(default)s")
    given = parser.parse_args(list(arguments))
    asked = (
        Limit("kl", "KL", given.max_kl),
        Limit("refusal_lookalike", "over-refusal", given.max_over_refusal),
        Limit("breach", "breach", given.max_breach),
        Limit(given.cost, given.cost.replace("_", " "), given.max_cost),
    )
    content = contents(given.folders)
    objective = given.objective or content["primary"]
    advice = advise(content, objective, [limit for limit in asked if limit.most is not None], least=given.least)
    for sentence in advice.sentences:
        results.print(sentence, markup=False)
    if advice.row is not None:
        settings = ", ".join(f"{name}={value}" for name, value in advice.row["settings"].items())
        results.print(f"\n  settings  {settings or 'as shipped'}", markup=False)
        results.print(f"  command   {advice.row['command']}", markup=False, soft_wrap=True)
    return int(not advice.decided)


def contents(folders: Sequence[Path], *, baseline: str = "sft", reveal: bool = False) -> dict[str, Any]:
    """The content of a comparison, with this version in it."""
    from alignlab.compare.assemble import assemble

    return assemble(folders, baseline=baseline, version=__version__, reveal=reveal)


def add_labels(content: dict[str, Any], path: Path) -> None:
    """Put win rates by people into the matrix of win rates. DataError where no label is about one of its rows."""
    from alignlab.label.summary import human_wins

    found = human_wins(path)
    rows = {str(Path(folder).resolve()): row["id"] for row in content["rows"] for folder in row.get("folders", ())}
    own = {}
    for place, name in enumerate(found["ids"]):
        known = {rows.get(str(Path(folder).resolve())) for folder in found["folders"][name]} - {None}
        if name == "sft" or len(known) == 1:
            own["sft" if name == "sft" else known.pop()] = place
    wins = content.get("wins") or {"ids": [row["id"] for row in content["rows"]]}
    if len(set(own) & set(wins["ids"])) < 2:
        raise DataError(f"{path} has no labels on two rows of this comparison", "label its runs: `label FOLDER`")
    places = [own.get(name) for name in wins["ids"]]
    table = [[None if None in (a, b) else found["wins"][a][b] for b in places] for a in places]
    content["wins"] = {**wins, "labels": table}


def write(content: Mapping[str, Any], folder: Path) -> None:
    """Every file of the comparison, each whole or not at all."""
    from alignlab.compare.page import page
    from alignlab.compare.tables import leaderboard_csv, leaderboard_markdown

    told = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    atomic_write_text(folder / f"{NAME}.json", told + "\n")
    atomic_write_text(folder / f"{NAME}.csv", leaderboard_csv(content))
    atomic_write_text(folder / f"{NAME}.md", leaderboard_markdown(content))
    atomic_write_text(folder / PAGE, page(content))


def show(content: Mapping[str, Any], folder: Path) -> None:
    """The table, the answer, and where the page is."""
    from alignlab.compare.tables import leaderboard_table

    results.print(leaderboard_table(content, width=results.width))
    results.print()
    say(f"page      {folder / PAGE}")
    say(f"figures   {folder / NAME}.json, .csv, .md")


def conclude(folder: Path, settings: RunConfig) -> None:
    """Compare the runs of a sweep. A sweep without a finished run has nothing to compare, and says so."""
    with messages.status("comparing"):
        try:
            content = contents([folder])
        except DataError as error:
            return warn(error.message)
        write(content, folder)
    show(content, folder)
    if settings.tracking.kind == "wandb":
        _track(content, folder, settings)


def _track(content: Mapping[str, Any], folder: Path, settings: RunConfig) -> None:
    """The comparison and its panels in wandb; failing at it takes nothing from the sweep."""
    from alignlab.tracking.comparison import log_comparison
    from alignlab.tracking.workspace import publish

    try:
        log_comparison(content, folder, settings.tracking, folder.name)
        publish(folder, settings.tracking, folder.name)
    except AlignlabError as error:
        warn(f"wandb does not show this comparison: {error}")
