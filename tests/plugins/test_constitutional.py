"""Constitutional AI: the loss, what the module trains on, and the whole recipe in one command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from alignlab.plugins.constitutional.loss import revision_loss
from contract import job_of
from support import TINY

from alignlab.compose import composed
from alignlab.config import RunConfig, typed
from alignlab.data.schema import Split
from alignlab.errors import ConfigError
from alignlab.run import run
from alignlab.stages.graph import Graph
from alignlab.worlds.desk.gold import gold

EXACT = ("annotator=rules", "annotator.accuracy=1")


def settings(*overrides: str) -> RunConfig:
    return typed(composed([*TINY, *overrides]))


def test_the_loss_is_the_negative_log_likelihood() -> None:
    logps = torch.tensor([[math.log(0.5), math.log(0.25)], [-1e4, 0.0]], dtype=torch.float64, requires_grad=True)
    loss = revision_loss(logps)
    assert loss.flatten().tolist() == pytest.approx([math.log(2), math.log(4), 1e4, 0.0])
    loss.sum().backward()
    assert logps.grad is not None
    assert logps.grad.tolist() == [[-1.0, -1.0], [-1.0, -1.0]]


def test_the_rows_are_revisions_of_every_step_or_the_last(tmp_path: Path) -> None:
    _, every = job_of("constitutional", tmp_path, *EXACT, "algo.revisions=3")
    _, last = job_of("constitutional", tmp_path, *EXACT, "algo.revisions=3", "algo.every_step=false")
    rows, ends = every.rows(), every.graph.base.end_ids
    assert every.revisions.digest == last.revisions.digest
    assert (len(rows), len(last.rows())) == (300, 100)
    assert all(row.completion[-1] in ends for row in rows)
    assert [row.completion.tolist() for row in rows[2::3]] == [row.completion.tolist() for row in last.rows()]
    assert every.key.digest != last.key.digest


def test_revisions_of_an_exact_editor_are_better_than_samples(tmp_path: Path) -> None:
    graph, job = job_of("constitutional", tmp_path, *EXACT)
    health = job.revisions.info["health"]
    assert health["gold_of_revisions"] > health["gold_of_samples"] + 0.5
    stored = [json.loads(line) for line in job.revisions.file("revisions.jsonl").read_text().splitlines()]
    assert len(stored) == 100
    assert {len(row["steps"]) for row in stored} == {4}
    assert {step["principle"] for row in stored for step in row["steps"]} == set(graph.settings.annotator.texts)
    assert all(step["critique"] for row in stored for step in row["steps"])
    prompts = {prompt.id: prompt for prompt in graph.source.prompts(Split.TRAIN, graph.settings.seeds)}
    worth = [gold(prompts[row["prompt"]["id"]], row["steps"][-1]["reply"], True) for row in stored]
    assert sum(worth) / len(worth) == pytest.approx(health["gold_of_revisions"])


def test_it_needs_somebody_who_revises() -> None:
    with pytest.raises(ConfigError, match="constitutional learns from revisions, and annotator=source revises nothing"):
        Graph(settings("algo=constitutional"), quiet=True)
    with pytest.raises(ConfigError, match="constitutional_sft learns from revisions"):
        Graph(settings("algo=ppo", "algo@stages.sft=constitutional_sft"), quiet=True)


def test_the_role_of_sft_takes_what_says_where_it_starts() -> None:
    with pytest.raises(ConfigError, match=r"stages\.sft\.method=constitutional starts from the SFT policy"):
        settings("algo=dpo", "algo@stages.sft=constitutional")
    with pytest.raises(ConfigError, match=r"stages\.sft\.method=dpo starts from the SFT policy"):
        settings("algo=ppo", "algo@stages.sft=dpo")
    tiny = [each for each in TINY if not each.startswith("stages.sft")]
    with pytest.raises(ConfigError, match=r"stages\.sft\.policy\.method=reward_model trains no policy"):
        typed(composed([*tiny, "algo@stages.sft=constitutional_sft", "algo@stages.sft.policy=reward_model"]))


def test_tuned_values_reach_the_sft_below() -> None:
    below = settings("algo=ppo", "algo@stages.sft=constitutional_sft", "annotator=rules").stages.sft
    alone = typed(composed(["algo=ppo"])).stages.sft
    assert (below.policy.lr, below.policy.epochs, below.policy.batch_size) == (alone.lr, alone.epochs, alone.batch_size)
    assert below.epochs == 1


@pytest.mark.slow
def test_the_whole_recipe_starts_rl_from_the_constitutional_policy(tmp_path: Path) -> None:
    given = ("algo=ppo", *EXACT, "algo@stages.sft=constitutional_sft", "stages.sft.lr=1e-2")
    small = ("stages.sft.policy.epochs=1", "algo.batch_size=16", "algo.steps=1", f"store={tmp_path / 'store'}")
    config = settings(*given, *small)
    run(config, tmp_path / "run")
    graph = Graph(config, quiet=True)
    plain = graph.trained(config.stages.sft.policy, "sft", config.stage_seeds)
    kinds = [artefact.path.name.partition("-")[0] for artefact in graph.store]
    assert (kinds.count("revisions"), kinds.count("policy")) == (1, 3)  # SFT, constitutional, PPO
    assert graph.sft.content != plain.content
    fields = json.loads((graph.policy_of_method.path / "manifest.json").read_text())["fields"]
    assert fields["start"] == graph.sft.content
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["run"]["annotator"] == "rules"
    assert result["run"]["annotator_settings"]["accuracy"] == 1
