"""Panels of a comparison as code: a plain definition, and a wandb workspace made from it.

The definition needs no wandb, so that an offline sweep can leave it beside its runs; `python -m alignlab
wandb-sync` saves it later. Building the workspace takes wandb's own package wandb-workspaces (`alignlab[wandb]`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alignlab.config import TrackingConfig
from alignlab.errors import ConfigError, StoreError
from alignlab.stages.files import atomic_write_json
from alignlab.tracking.console import say
from alignlab.tracking.wandb import import_wandb

FILE = "wandb_workspace.json"
SCHEMA = 1
Panel = dict[str, Any]


def _scatter(title: str, x: str, y: str) -> Panel:
    return {"kind": "scatter", "title": title, "x": x, "y": y}


def _lines(title: str, x: str, *y: str) -> Panel:
    return {"kind": "lines", "title": title, "x": x, "y": list(y)}


def _bars(title: str, *metrics: str) -> Panel:
    return {"kind": "bars", "title": title, "metrics": list(metrics)}


SECTIONS: Mapping[str, Sequence[Panel]] = {
    "Comparison": (
        {"kind": "table", "name": "tables/leaderboard"},
        {"kind": "table", "name": "tables/frontier"},
        {"kind": "table", "name": "tables/samples"},
    ),
    "Frontier: what is gained, and how far from the reference": (
        _scatter("gold against KL", "eval/kl", "eval/gold"),
        _scatter("held-out reward model against KL", "eval/kl", "eval/judge_score"),
        _scatter("training reward model against KL", "eval/kl", "eval/proxy"),
        _scatter("win rate against KL", "eval/kl", "eval/win_rate"),
        _scatter("true against trained score", "eval/proxy", "eval/gold"),
        _lines("score in training over KL", "kl", "over_kl/score"),
    ),
    "Training": (
        _lines("score", "samples", "train/score"),
        _lines("KL, nats a completion", "samples", "train/kl"),
        _lines("loss", "samples", "train/loss"),
        _lines("preference accuracy", "samples", "train/accuracy"),
    ),
    "Posture": (
        _scatter("breaches against over-refusal", "eval/refusal_lookalike", "eval/breach"),
        _bars("harmful requests answered", "eval/breach"),
        _bars("harmful requests refused", "eval/refusal_harmful"),
        _bars("look-alikes refused", "eval/refusal_lookalike"),
        _bars("benign requests refused", "eval/refusal_benign"),
    ),
    "Quality": (
        _bars("gold", "eval/gold"),
        _bars("win rate over SFT", "eval/win_rate"),
        _bars("length, tokens", "eval/length"),
        _bars("distinct word pairs", "eval/distinct_2"),
    ),
    "Costs": (
        _bars("seconds of the method", "cost/seconds"),
        _bars("seconds with every stage", "cost/seconds_with_stages"),
        _bars("labels", "cost/labels"),
        _scatter("gold against seconds", "cost/seconds_with_stages", "eval/gold"),
    ),
    "Settings": ({"kind": "runs"},),
}
"""Panels by section; bars are means over seeds."""
METHOD = "algo.name"
"""What groups runs into methods, in their configuration."""
COLUMNS = 3
MOST_RUNS = 100
PINNED = ("summary:name", "summary:seed", "summary:eval/gold", "summary:eval/kl", "summary:eval/win_rate")


def definition(settings: TrackingConfig, group: str, folder: Path) -> dict[str, Any]:
    """What is to be seen of a sweep, and the command that sends it."""
    name = settings.group or group
    return {
        "schema": SCHEMA,
        "command": f"python -m alignlab wandb-sync {folder}",
        "project": settings.project,
        "entity": settings.entity,
        "group": name,
        "name": f"comparison of {name}",
        "sections": [{"name": title, "panels": list(panels)} for title, panels in SECTIONS.items()],
    }


def publish(folder: Path, settings: TrackingConfig, group: str) -> str:
    """Save the workspace where mode is online; else write its definition. Returns its address, or the file.

    ConfigError when wandb-workspaces is needed and missing, StoreError when the server refuses.
    """
    content = definition(settings, group, folder)
    if settings.mode == "online":
        return save(content)
    atomic_write_json(folder / FILE, content)
    say(f"panels of this comparison, to send later: {content['command']}", "dim")
    return str(folder / FILE)


def read_definition(path: Path) -> dict[str, Any]:
    """What `publish` wrote. ConfigError when it cannot be read or is of another version."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.get("schema")
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path} is not a definition of panels: {error}", "write it again, or remove it") from error
    if version != SCHEMA:
        raise ConfigError(f"{path} has schema version {version}, this alignlab reads {SCHEMA}", "remove it")
    return dict(content)


def save(content: Mapping[str, Any]) -> str:
    """Create the workspace on the server. Returns its address."""
    made = workspace(content, content["entity"] or "")
    import wandb

    try:
        made.entity = content["entity"] or wandb.Api().default_entity
        made.save()
        return str(made.url)
    except Exception as error:  # wandb passes on whatever its transport raises
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StoreError(
            f"wandb did not save the panels: {reason}", "log in first with `wandb login`; check project and entity"
        ) from error


def workspace(content: Mapping[str, Any], entity: str) -> Any:
    """The definition as a `wandb_workspaces.workspaces.Workspace`; nothing is sent. ConfigError without the package."""
    workspaces = _package()
    sections = [
        workspaces.Section(
            name=section["name"],
            is_open=True,
            panels=[_panel(panel) for panel in section["panels"]],
            layout_settings=workspaces.SectionLayoutSettings(
                columns=COLUMNS, rows=-(-len(section["panels"]) // COLUMNS)
            ),
        )
        for section in content["sections"]
    ]
    return workspaces.Workspace(
        entity=entity,
        project=content["project"],
        name=content["name"],
        sections=sections,
        settings=workspaces.WorkspaceSettings(x_axis="samples", max_runs=MOST_RUNS),
        runset_settings=workspaces.RunsetSettings(
            filters=[workspaces.Metric("Group") == content["group"]], pinned_columns=list(PINNED)
        ),
    )


def _package() -> Any:
    import_wandb()
    try:
        import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise ConfigError(
            f"panels of a comparison need the package wandb-workspaces: {error}", "pip install 'alignlab[wandb]'"
        ) from error
    return workspaces


def _panel(panel: Mapping[str, Any]) -> Any:
    import wandb_workspaces.reports.v2 as reports

    kind, title = panel["kind"], panel.get("title")
    if kind == "scatter":
        return reports.ScatterPlot(
            title=title, x=reports.SummaryMetric(panel["x"]), y=reports.SummaryMetric(panel["y"]), regression=False
        )
    if kind == "lines":
        return reports.LinePlot(title=title, x=panel["x"], y=panel["y"], title_x=panel["x"], max_runs_to_show=MOST_RUNS)
    if kind == "bars":
        return reports.BarPlot(
            title=title,
            metrics=panel["metrics"],
            groupby=reports.Config(METHOD),
            groupby_aggfunc="mean",
            groupby_rangefunc="stderr",
            max_bars_to_show=MOST_RUNS,
        )
    if kind == "table":
        return reports.WeavePanelSummaryTable(table_name=panel["name"])
    if kind == "runs":
        return reports.RunComparer(diff_only=True)
    raise ConfigError(f"unknown kind of panel {kind!r}", "it is one of scatter, lines, bars, table, runs")
