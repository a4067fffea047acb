"""What scores a completion during training. Built from what exists: a trained scorer, or a world's own truth."""

from __future__ import annotations

from alignlab.method import Component

LEARNED = Component(
    name="learned",
    summary="the reward model trained on the labels of this run",
    target="alignlab.rewards.learned:LearnedReward",
)
GOLD = Component(
    name="gold",
    summary="an oracle: the true score of an embedded world (no real project has one)",
    target="alignlab.rewards.gold:GoldReward",
)
