"""Rewards in the stage graph: which models they read, what they are given, what their address holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rewards_doubles import DESK, PROMPTS, Stages, classifier, letters, rollouts, stored
from small import scorer
from support import ONLINE, TINY
from torch import Tensor, nn

from alignlab import registry
from alignlab.compose import composed
from alignlab.config import typed
from alignlab.errors import ConfigError, ModelError
from alignlab.method import Component, Needs, param
from alignlab.method import Data as View
from alignlab.rewards.config import RewardConfig
from alignlab.rewards.kinds import (
    CompositeConfig,
    DirectoryConfig,
    EnsembleConfig,
    LearnedConfig,
    LengthPenalisedConfig,
    RuleConfig,
)
from alignlab.run import run
from alignlab.seeding import Seeds
from alignlab.stages import rewards
from alignlab.stages.graph import Graph
from alignlab.stages.key import canonical


def test_members_differ_by_initial_weights_and_order_of_rows_alone() -> None:
    seeds = Seeds(3, {"data": 7})
    assert rewards.member_seeds(seeds, 0) == seeds
    others = [rewards.member_seeds(seeds, member) for member in (1, 2)]
    for stream in ("init", "data"):
        assert len({each.of(stream, 5) for each in (seeds, *others)}) == 3
    for stream in ("world", "labels", "rollout", "evaluation"):
        assert len({each.of(stream, 5) for each in (seeds, *others)}) == 1
    assert rewards.member_seeds(Seeds(4), 1) != rewards.member_seeds(Seeds(3), 1)


ADDRESSES: dict[str, tuple[RewardConfig, set[str]]] = {
    "learned": (LearnedConfig(), {"models"}),
    "ensemble": (EnsembleConfig(), {"models"}),
    "length_penalised": (LengthPenalisedConfig(), {"models"}),
    "rule": (RuleConfig(rules=[{"ending": "."}]), {"tokenizer"}),
    "composite": (CompositeConfig(parts=[{"kind": "learned"}, {"kind": "gold"}]), {"tokenizer", "parts"}),
}


@pytest.mark.parametrize("kind", ADDRESSES)
def test_an_address_names_models_text_source_and_parts_where_they_are_read(kind: str) -> None:
    config, more = ADDRESSES[kind]
    found = rewards.address(Stages(config))  # type: ignore[arg-type]
    assert set(found) == {"kind", "settings", "code", *more}
    assert f"alignlab.rewards.{kind}" in found["code"]
    assert "alignlab.rewards.kinds" not in found["code"]
    canonical(found)


def test_the_address_of_an_ensemble_holds_every_member_and_that_of_a_composite_every_part() -> None:
    members = rewards.address(Stages(EnsembleConfig(members=4)))["models"]  # type: ignore[arg-type]
    assert members == [f"weights of member {member}" for member in range(4)]
    first, second = rewards.address(Stages(ADDRESSES["composite"][0]))["parts"]  # type: ignore[arg-type]
    assert (first["kind"], first["models"]) == ("learned", members[:1])
    assert (second["kind"], second["data"]) == ("gold", {"rows": "rows of the source"})


def test_another_tokenizer_is_another_reward_where_text_is_read(tmp_path: Path) -> None:
    rule, learned = RuleConfig(rules=[{"ending": "."}]), LearnedConfig()
    assert rewards.address(Stages(rule)) != rewards.address(Stages(rule, tokenizer=letters()))  # type: ignore[arg-type]
    assert rewards.address(Stages(learned)) == rewards.address(Stages(learned, tokenizer=letters()))  # type: ignore[arg-type]


def test_parts_share_the_models_they_read() -> None:
    parts = [{"kind": "ensemble", "settings": {"members": 2}}, {"kind": "learned"}, {"kind": "length_penalised"}]
    graph = Stages(CompositeConfig(parts=parts), [scorer(0), scorer(1)])
    rewards.build(graph, "cpu")  # type: ignore[arg-type]
    assert sorted(graph.loaded) == [0, 1]


def test_what_a_reward_decided_is_told(tmp_path: Path) -> None:
    own = letters()
    path = stored(tmp_path, classifier("gpt2", len(own), own.pad_token_id), own)
    graph = Stages(DirectoryConfig(path=path))
    found = rewards.build(graph, "cpu")  # type: ignore[arg-type]
    assert graph.said == [
        f"reward.path={path} has another vocabulary: replies are decoded, and encoded again with its own chat template"
    ]
    assert found.score(rollouts(), PROMPTS).shape == (3,)


@dataclass(kw_only=True)
class TermConfig(RewardConfig):
    kind: str = "third_party"
    bonus: float = param(1.0, "Added to every score.", low=0)


class Bare(nn.Module):
    """A reward as one was written before rewards had settings."""

    def __init__(self, *, scorer: nn.Module | None = None, source: Any = None, tokenizer: Any = None) -> None:
        super().__init__()
        assert (scorer, source, tokenizer) == (None, "source", DESK)

    def score(self, rollouts: Any, prompts: Any) -> Tensor:
        return torch.ones(rollouts.rows)


class Typed(Bare):
    def __init__(self, config: TermConfig, **given: Any) -> None:
        super().__init__(**given)
        self.bonus = config.bonus

    def score(self, rollouts: Any, prompts: Any) -> Tensor:
        return super().score(rollouts, prompts) + self.bonus


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> None:
    found = registry.catalogue("alignlab.rewards").found
    typed_one = Component(name="third_party", summary="x", target=f"{__name__}:Typed", config=TermConfig)
    monkeypatch.setitem(found, "third_party", typed_one)
    monkeypatch.setitem(found, "bare", Component(name="bare", summary="x", target=f"{__name__}:Bare"))


@pytest.mark.usefixtures("third_party")
def test_a_third_party_reward_may_have_settings_or_none() -> None:
    for config, expected in ((TermConfig(bonus=2.0), 3.0), (RewardConfig(kind="bare"), 1.0)):
        found = rewards.build(Stages(config, source="source"), "cpu")  # type: ignore[arg-type]
        assert found.score(rollouts(), PROMPTS).tolist() == [expected] * 3
        assert set(rewards.address(Stages(config))) == {"kind", "settings", "code", "tokenizer", "data"}  # type: ignore[arg-type]


@pytest.mark.usefixtures("third_party")
def test_a_third_party_reward_is_checked_like_a_shipped_one() -> None:
    parts = "[{kind: third_party, settings: {bonus: 2}}, {kind: bare, weight: 3}]"
    found = typed(composed(["algo=dpo", "reward=composite", f"reward.parts={parts}"])).reward
    assert list(found.inner) == [TermConfig(bonus=2.0), RewardConfig(kind="bare")]
    with pytest.raises(ConfigError, match=r"reward\.parts\[0\]\.settings\.bonus must lie in \[0, inf\), got -1"):
        typed(composed(["algo=dpo", "reward=composite", f"reward.parts={parts.replace('2', '-1')}"]))


@pytest.mark.usefixtures("third_party")
def test_the_yaml_of_a_third_party_reward_may_have_a_schema_or_none(tmp_path: Path) -> None:
    (tmp_path / "reward").mkdir()
    (tmp_path / "reward" / "bare.yaml").write_text("kind: bare\n")
    text = "defaults: [/schema/reward/third_party@_here_, _self_]\nkind: third_party\nbonus: 4\n"
    (tmp_path / "reward" / "own.yaml").write_text(text)
    shared = ["algo=dpo", f"hydra.searchpath=[file://{tmp_path}]"]
    assert typed(composed([*shared, "reward=bare", "reward.pairs_check=0.7"])).reward.pairs_check == 0.7
    assert typed(composed([*shared, "reward=own"])).reward == TermConfig(bonus=4.0)
    with pytest.raises(ConfigError, match=r"unknown setting reward\.bonus"):
        composed([*shared, "reward=bare", "reward.bonus=2"])


PREFIXES = Needs(data=View.PROMPTS, scorers=("reward",), prefixes=True)


@pytest.mark.parametrize("kind", ["learned", "ensemble", "length_penalised"])
def test_rewards_of_token_ids_score_unfinished_replies(kind: str) -> None:
    graph, algo = Stages(ADDRESSES[kind][0]), typed(composed(["algo=dpo"])).algo
    rewards.check(graph, algo, PREFIXES)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["rule", "composite"])
def test_rewards_of_text_do_not(kind: str) -> None:
    graph, algo = Stages(ADDRESSES[kind][0]), typed(composed(["algo=dpo"])).algo
    with pytest.raises(ConfigError, match=rf"dpo scores unfinished replies, and reward={kind} judges whole texts"):
        rewards.check(graph, algo, PREFIXES)  # type: ignore[arg-type]


def test_a_directory_is_checked_before_anything_is_computed_and_only_where_it_is_read(tmp_path: Path) -> None:
    reward = ("reward=directory", f"reward.path={tmp_path / 'absent'}", f"store={tmp_path / 'store'}")
    with pytest.raises(ModelError, match=r"absent' does not exist"):
        Graph(typed(composed(["algo=ppo", "algo.value_init=sft", *reward])), quiet=True)
    Graph(typed(composed(["algo=dpo", *reward])), quiet=True)


@pytest.mark.slow
def test_the_first_member_is_the_reward_model_of_every_other_run(tmp_path: Path) -> None:
    shared = [*TINY, *ONLINE, "algo=ppo", "algo.value_init=sft", f"store={tmp_path / 'store'}"]
    run(typed(composed([*shared, "reward=learned"])), tmp_path / "learned")
    ensemble = typed(composed([*shared, "reward=ensemble", "reward.combine=minimum"]))
    run(ensemble, tmp_path / "ensemble")
    graph = Graph(ensemble, quiet=True)
    members = [graph.reward(member=member) for member in range(3)]
    assert [each.label for each in members] == ["reward model", "reward model, member 2", "reward model, member 3"]
    assert len({each.content for each in members}) == 3
    assert all(abs(each.info["health"]["sft_mean"]) < 10 for each in members)
    learned = Graph(replace(ensemble, reward=LearnedConfig()), quiet=True)
    assert learned.reward().content == members[0].content
    assert learned.policy_of_method.content != graph.policy_of_method.content
    # what is combined was shifted member by member
    assert len({graph.scorer(each).shift for each in members}) == 3
