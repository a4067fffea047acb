"""What scores a completion during training. Built from what exists: trained scorers, files, rules, a world's truth.

A reward is a factory: called with its typed settings where it declares any, and by keyword with `source`, `tokenizer`
and what the settings ask for (`scorer`, `scorers` or `parts`; see `config.RewardConfig`). It returns an `nn.Module`
with `score(rollouts, prompts)`, one number for each completion; its `notes`, if there are any, are told to the user.
"""

from __future__ import annotations

from alignlab.method import Component
from alignlab.rewards import kinds

LEARNED = Component(
    name="learned",
    summary="the reward model trained on the labels of this run",
    target="alignlab.rewards.learned:LearnedReward",
    config=kinds.LearnedConfig,
)
GOLD = Component(
    name="gold",
    summary="an oracle: the true score of an embedded world (no real project has one)",
    target="alignlab.rewards.gold:GoldReward",
    config=kinds.GoldConfig,
)
ENSEMBLE = Component(
    name="ensemble",
    summary="several reward models that differ by seed, combined",
    target="alignlab.rewards.ensemble:EnsembleReward",
    config=kinds.EnsembleConfig,
)
LENGTH_PENALISED = Component(
    name="length_penalised",
    summary="the reward model with a price on length",
    target="alignlab.rewards.length_penalised:LengthPenalisedReward",
    config=kinds.LengthPenalisedConfig,
)
RULE = Component(
    name="rule",
    summary="weighted conditions on the text of a reply",
    target="alignlab.rewards.rule:RuleReward",
    config=kinds.RuleConfig,
)
COMPOSITE = Component(
    name="composite",
    summary="a weighted sum of rewards",
    target="alignlab.rewards.composite:CompositeReward",
    config=kinds.CompositeConfig,
)
DIRECTORY = Component(
    name="directory",
    summary="a reward model from a directory, whoever trained it",
    target="alignlab.rewards.directory:DirectoryReward",
    config=kinds.DirectoryConfig,
)
