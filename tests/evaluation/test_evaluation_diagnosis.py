from __future__ import annotations

import re

import pytest

from alignlab.evaluation import diagnosis
from alignlab.evaluation.diagnosis import Evidence, diagnose

BOTH_WAYS = {
    "reward_model": (
        Evidence(reward_accuracy=0.5),
        Evidence(reward_accuracy=0.56),
        "orders 50.0% of unseen pairs right .expected at least 55%",
    ),
    "overoptimised": (
        Evidence(change={"eval/gold": (-0.2, 0.05), "eval/proxy": (1.5, 0.1)}),
        Evidence(change={"eval/gold": (-0.09, 0.05), "eval/proxy": (1.5, 0.1)}),
        "Gold fell by 0.200 ± 0.050 while the reward model's score rose by 1.500",
    ),
    "displacement": (
        Evidence(history={"train/chosen_logps": [-20.0, -22.0, -24.0, -31.0]}),
        Evidence(history={"train/chosen_logps": [-20.0, -22.0, -24.0, -24.5]}),
        "fell from -20.0 to -31.0 nats",
    ),
    "saturation": (
        Evidence(history={"train/accuracy": [0.6, 0.99], "train/loss": [0.7, 0.01]}),
        Evidence(history={"train/accuracy": [0.6, 0.99], "train/loss": [0.7, 0.2]}),
        "ordered right in 99.0% of cases at a loss of 0.01",
    ),
    "entropy": (
        Evidence(metrics={"eval/entropy": 0.2}, sft={"eval/entropy": 1.0}),
        Evidence(metrics={"eval/entropy": 0.3}, sft={"eval/entropy": 1.0}),
        "collapsed to 0.20 nats a token from 1.00 in SFT",
    ),
    "diversity": (
        Evidence(metrics={"eval/distinct_2": 0.04}, sft={"eval/distinct_2": 0.1}),
        Evidence(metrics={"eval/distinct_2": 0.05}, sft={"eval/distinct_2": 0.1}),
        "Only 4.0% of word pairs are distinct, against 10.0%",
    ),
    "length": (
        Evidence(metrics={"eval/length": 4.0}, sft={"eval/length": 10.0}),
        Evidence(metrics={"eval/length": 14.0}, sft={"eval/length": 10.0}),
        "60% shorter than SFT's .4.0 tokens against 10.0",
    ),
    "endings": (
        Evidence(metrics={"eval/ended": 0.9}),
        Evidence(metrics={"eval/ended": 0.96}),
        "10.0% of replies hit the length limit",
    ),
    "engine": (
        Evidence(history={"train/engine_gap": [0.01, 0.25, 0.02]}),
        Evidence(history={"train/engine_gap": [0.01, 0.1]}),
        "disagreed by up to 0.25 nats",
    ),
    "clipping": (
        Evidence(history={"train/clip_fraction": [0.0, 0.0, 0.1, 0.5]}),
        Evidence(history={"train/clip_fraction": [0.9, 0.1, 0.1, 0.1]}),
        "50% of token ratios were clipped late",
    ),
    "value": (
        Evidence(history={"train/explained_variance": [0.5, -0.25]}),
        Evidence(history={"train/explained_variance": [-0.5, 0.25]}),
        "explains -0.25 of the variance",
    ),
    "kl_target": (
        Evidence(metrics={"eval/kl": 9.1}, kl_target=6.0),
        Evidence(metrics={"eval/kl": 8.9}, kl_target=6.0),
        "KL is 9.10 nats per reply where 6.00 was the target",
    ),
    "incomplete": (
        Evidence(missing={"eval/gold": 3, "eval/kl": 0}),
        Evidence(missing={"eval/gold": 0}),
        "left out of the means: gold 3",
    ),
}


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_each_flag_is_raised_alone_and_says_its_number(name):
    guilty, _, words = BOTH_WAYS[name]
    raised = diagnose(guilty)
    assert [flag.name for flag in raised] == [name]
    assert re.search(words, raised[0].text), raised[0].text
    assert raised[0].text.endswith(".")


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_each_flag_stays_down_on_the_other_side_of_its_threshold(name):
    assert diagnose(BOTH_WAYS[name][1]) == []


def test_every_rule_is_tested_both_ways():
    assert set(BOTH_WAYS) == set(diagnosis.RULES)


def test_what_was_not_measured_raises_nothing():
    assert diagnose(Evidence()) == []
    assert diagnose(Evidence(sft={"eval/entropy": 0.0}, metrics={"eval/entropy": 0.0})) == []


def test_kl_below_its_target_is_flagged_too():
    assert [flag.name for flag in diagnose(Evidence(metrics={"eval/kl": 3.9}, kl_target=6.0))] == ["kl_target"]


def test_a_longer_reply_is_called_longer():
    (flag,) = diagnose(Evidence(metrics={"eval/length": 20.0}, sft={"eval/length": 10.0}))
    assert "100% longer" in flag.text


def test_gold_falling_with_proxy_is_not_overoptimisation():
    change = {"eval/gold": (-0.2, 0.05), "eval/proxy": (-1.5, 0.1)}
    assert diagnose(Evidence(change=change)) == []


def test_the_reward_models_limit_can_be_set():
    assert diagnose(Evidence(reward_accuracy=0.6, pair_accuracy_limit=0.65))
