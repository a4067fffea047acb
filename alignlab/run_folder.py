"""What a finished run leaves behind, and what it prints: one folder that can be read without alignlab.

`result.json` is written last; its presence says that the run is complete.
"""

from __future__ import annotations

import csv
import errno
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from alignlab import __version__
from alignlab.config import Keep, RunConfig
from alignlab.costs import budget, costs
from alignlab.data.schema import Split
from alignlab.evaluation.columns import write_columns
from alignlab.evaluation.conversation import write_conversations
from alignlab.evaluation.diagnosis import Evidence, Flag, diagnose
from alignlab.evaluation.posture import Attacked, counts
from alignlab.evaluation.record import Sample, join, write_samples
from alignlab.evaluation.report import View, show
from alignlab.evaluation.result import result, write_result
from alignlab.evaluation.summary import Summary, summarise
from alignlab.method import Method
from alignlab.stages.artefact import Artefact
from alignlab.stages.attacked import read as attacks_of
from alignlab.stages.evaluated import read
from alignlab.stages.files import atomic_write_json, atomic_write_text, beside, disk_error
from alignlab.stages.graph import Graph
from alignlab.stages.key import canonical
from alignlab.tracking.console import results
from alignlab.tracking.table import read_columns
from alignlab.tracking.tracker import Tracker

HARMFUL = "harmful"
NOBODY = Attacked()
SWAPS = 20
"""Attempts to put a folder in place that others keep putting there."""
NAMED = ("torch", "lightning", "transformers", "tokenizers", "datasets", "numpy", "hydra-core", "omegaconf")
"""Libraries whose exact versions are recorded with a run."""
TABLE_ROWS = 100
"""Replies sent to a tracker."""


@dataclass(frozen=True)
class Outcome:
    """The artefacts of a run, and what it cost."""

    policy: Artefact
    evaluated: Artefact
    baseline: Artefact
    seconds: float
    overrides: Sequence[str] = ()
    best_of: Mapping[str, Any] = field(default_factory=dict)
    """What picking the best of n replies of SFT is worth, by n."""
    frontier: Sequence[Mapping[str, float]] = ()
    """Drift and scores of the policy mixed with its reference, by rising weight."""
    attacked: Artefact | None = None
    attacked_baseline: Artefact | None = None
    """What both answered to attacks; None where there is nothing to attack."""
    seen: Sequence[str] | None = None
    """Kinds of attack that training contained; None where that is not known."""


def write(graph: Graph, folder: Path, outcome: Outcome) -> Summary:
    """Write every file of the run directory, print the report, return the figures."""
    samples, sft_samples = read(outcome.evaluated), read(outcome.baseline)
    attacked, sft_attacked = attacks_of(outcome.attacked), attacks_of(outcome.attacked_baseline)
    summary = summarise(
        samples,
        sft_samples,
        attacks=attacked.attempts,
        sft_attacks=sft_attacked.attempts,
        seen=outcome.seen,
    )
    joined = join(samples, sft_samples)
    spent = costs(graph, outcome.policy, outcome.evaluated)
    raised = diagnose(_evidence(graph, outcome.policy, summary))
    with disk_error(folder):
        files = {
            **_copy(graph, folder, outcome.policy),
            "replies": "samples.jsonl, attacks.jsonl, harmless.jsonl, conversations.jsonl",
        }
        write_replies(folder, joined, attacked, sft_attacked)
        write_config(graph, folder, outcome.overrides)
        write_result(
            folder / "result.json",
            result(
                summary,
                flags=raised,
                costs=spent | {"seconds_of_this_command": round(outcome.seconds, 1)},
                budget=budget(graph, outcome.policy, spent),
                conventions=graph.method.described(graph.settings.algo),
                fingerprints=_fingerprints(graph, outcome),
                run=identity(graph.settings) | _selected(outcome.policy),
                best_of=outcome.best_of,
                frontier=outcome.frontier,
                posture=posture(graph, samples, attacked),
                sft_posture=counts(sft_samples, sft_attacked),
                about=about(graph, outcome.overrides, joined),
            ),
        )
    show(summary, _view(graph, joined, raised, files), results)
    return summary


def write_replies(folder: Path, samples: Sequence[Sample], attacked: Attacked, sft: Attacked = NOBODY) -> None:
    """Every reply that was judged, beside what SFT said to the same."""
    write_samples(folder / "samples.jsonl", samples)
    write_columns(folder / "scores.json", samples)
    write_samples(folder / "attacks.jsonl", join(attacked.attempts, sft.attempts))
    write_samples(folder / "harmless.jsonl", join(attacked.harmless, sft.harmless))
    write_conversations(folder / "conversations.jsonl", attacked.conversations)


def posture(graph: Graph, samples: Sequence[Sample], attacked: Attacked) -> dict[str, Any]:
    """What result.json says of posture beside rates."""
    return {"judge": graph.judge.described(), **counts(samples, attacked)}


def write_scorer(graph: Graph, folder: Path, scorer: Artefact, overrides: Sequence[str]) -> None:
    """The run directory of a method that trains a scorer: the model, its metrics and its health."""
    with disk_error(folder):
        files = _copy(graph, folder, scorer)
        write_config(graph, folder, overrides)
        spent = costs(graph, scorer)
        record = {"run": identity(graph.settings), "health": dict(scorer.info.get("health", {})), "costs": spent}
        atomic_write_json(folder / "result.json", {"schema": 1, **record, "budget": budget(graph, scorer, spent)})
    for name, value in scorer.info.get("health", {}).items():
        results.print(
            f"  {name.replace('_', ' '):<20} {value:.3f}" if isinstance(value, float) else f"  {name:<20} {value:,}"
        )
    for what, where in files.items():
        results.print(f"  {what:<20} {where}", soft_wrap=True)


def identity(settings: RunConfig) -> dict[str, Any]:
    """What a row of a table is about; settings of the reward and an annotator where they are no default."""
    changed, annotator = canonical(settings.reward.changed()), settings.annotator
    judge = {"annotator": annotator.kind, "annotator_settings": canonical(annotator.changed())}
    return {
        "method": settings.algo.method,
        "name": settings.algo.name,
        "data": settings.data.source,
        "reward": settings.reward.kind,
        **({"reward_settings": changed} if changed else {}),
        **(judge if annotator.judges else {}),
        "seed": settings.seed,
        "stage_seed": settings.stage_seed,
    }


def _selected(policy: Artefact) -> dict[str, Any]:
    """Which snapshot `keep=best` kept, and the scores it was chosen by."""
    return {"selected": policy.info["selected"]} if "selected" in policy.info else {}


def write_config(graph: Graph, folder: Path, overrides: Sequence[str]) -> None:
    """The resolved configuration with the versions and the machine it ran under."""
    record = {
        "command": _command(overrides),
        "config": canonical(asdict(graph.settings)),
        "versions": versions(),
        "machine": machine(),
    }
    atomic_write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(record)))


def _command(overrides: Sequence[str]) -> str:
    return f"python -m alignlab {shlex.join(overrides)}"


def about(graph: Graph, overrides: Sequence[str], samples: Sequence[Sample]) -> dict[str, Any]:
    """What a reader of many results needs to know of this one: how it came about, and how its KL is known."""
    method, settings = graph.method, graph.settings
    bound = any(sample.kl is not None and sample.k1 is None for sample in samples)
    return {
        "summary": method.summary,
        "equation": method.equation,
        "paper": method.paper,
        "family": _family(method),
        "kl_known": "bound" if bound else "exact",
        "withheld": sorted(withheld(graph)),
        "command": _command(overrides),
        "versions": versions(),
        "settings": canonical(asdict(settings)),
    }


def _family(method: Method) -> str:
    """What a method learns from, by which drawings colour it."""
    if method.sampler:
        return "inference"
    return "own samples" if method.needs.rollouts else str(method.needs.data.value)


def versions() -> dict[str, str]:
    """Exact versions of what a result may depend on."""
    named = {name: version(name) for name in NAMED}
    return {"alignlab": __version__, "python": sys.version.split()[0], **named}


def machine() -> dict[str, Any]:
    """What of this machine and process may change the last bits of a result."""
    processor = torch.backends.cpu.get_cpu_capability()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"processor": processor, "threads": torch.get_num_threads(), "cuda": torch.version.cuda, "gpu": gpu}


def _copy(graph: Graph, folder: Path, policy: Artefact) -> dict[str, str]:
    """Metrics and, unless nothing is to be kept, the model; hard links cost no space."""
    files = {"run": str(folder), "figures": "result.json"}
    if policy.has("metrics.csv"):
        shutil.copyfile(policy.file("metrics.csv"), folder / "metrics.csv")
        files["figures"] += ", metrics.csv"
    if graph.settings.keep is Keep.none or graph.method.sampler:
        return files
    _replace(policy.file("model"), folder / "model")
    return files | {"model": str(folder / "model")}


def _replace(source: Path, target: Path) -> None:
    """Put a copy of a folder in place of what was there, even while another process does the same."""
    copy = beside(target)
    try:
        shutil.copytree(source, copy, copy_function=_link)
        for left in reversed(range(SWAPS)):
            shutil.rmtree(target, ignore_errors=True)
            try:
                return os.rename(copy, target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not left:
                    raise
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def replay(path: Path, tracker: Tracker) -> None:
    """Tell a tracker what a stored training logged."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            metrics = {name: float(value) for name, value in row.items() if value and name not in ("step", "samples")}
            tracker.log(metrics, int(float(row["samples"])))


def reply_rows(graph: Graph, evaluated: Artefact, baseline: Artefact) -> list[dict[str, Any]]:
    """The first replies beside those of SFT, for a tracker's table; text that is withheld here stays out there too."""
    joined = join(read(evaluated), read(baseline))
    hidden = withheld(graph)
    return [
        {
            "kind": sample.prompt.kind,
            "prompt": sample.prompt.show(),
            "sft": sample.sft.text if sample.sft else "",
            "reply": sample.text,
            "gold": sample.gold,
            "proxy": sample.proxy,
            "kl": sample.kl,
        }
        for sample in joined[:TABLE_ROWS]
        if sample.prompt.kind not in hidden
    ]


def withheld(graph: Graph) -> frozenset[str]:
    """Kinds of request whose text is not shown: real harmful ones, unless asked for."""
    embedded = graph.source.judge() is not None
    return frozenset() if embedded or graph.settings.evaluation.reveal else frozenset({HARMFUL})


def _evidence(graph: Graph, policy: Artefact, summary: Summary) -> Evidence:
    changed = {
        name: (each.mean, each.error)
        for name, each in summary.change.items()
        if each.mean is not None and each.error is not None
    }
    return Evidence(
        metrics=summary.metrics,
        sft=summary.sft.values if summary.sft else {},
        change=changed,
        history=read_columns(policy.file("metrics.csv")) if policy.has("metrics.csv") else {},
        missing=summary.missing,
        reward_accuracy=graph.reward().info.get("health", {}).get("accuracy") if graph.scored else None,
        pair_accuracy_limit=graph.settings.reward.pairs_check,
        kl_target=getattr(graph.settings.algo, "kl_target", None),
    )


def _fingerprints(graph: Graph, outcome: Outcome) -> dict[str, str]:
    return {
        "policy": outcome.policy.digest,
        "policy_content": outcome.policy.content,
        "sft": graph.sft.digest,
        "data": graph.source.fingerprint(),
        **(
            {
                "preferences": graph.preferences.digest,
                "reward": graph.reward().digest,
                "held_out_reward": graph.reward(Split.HELD_OUT).digest,
            }
            if graph.scored
            else {}
        ),
        "evaluation": outcome.evaluated.digest,
        "baseline": outcome.baseline.digest,
        **({"posture": outcome.attacked.digest} if outcome.attacked else {}),
    }


def _view(graph: Graph, joined: Sequence[Sample], raised: Sequence[Flag], files: Mapping[str, str]) -> View:
    settings = graph.settings
    return View(
        method=settings.algo.name,
        title=f"{settings.algo.name} on {settings.data.source}, seed {settings.seed}",
        samples=joined,
        count=settings.evaluation.show,
        withheld=withheld(graph),
        judge=graph.judge.described(),
        flags=raised,
        files=files,
    )
