"""Reward-guided decoding (Khanov et al., 2024): the reward model weighs in on every token."""

from alignlab.method import Data, Method, Needs

from .config import ARGSConfig

METHOD = Method(
    name="args",
    summary="the reward model re-weighs the SFT policy's top tokens at every step",
    config=ARGSConfig,
    sampler="alignlab.plugins.args.sampler:ARGSSampler",
    needs=Needs(data=Data.PROMPTS, scorers=("reward",), prefixes=True),
    conf="pkg://alignlab.plugins.args.conf",
    equation="pi(v | x, y) = softmax over the top k of SFT of [log SFT(v | x, y) + w r(x, y v)],   w = reward_weight",
    paper="https://arxiv.org/abs/2402.01694",
    failures=(
        "The reward model has only seen whole replies: what it says of half a sentence may mean nothing.",
        "Greedy for reward: no token is weighed by what could still follow, and replies end early or never.",
        "Each token costs the reward top_k readings of the whole prefix.",
    ),
    conventions={
        "candidates": "the {top_k} most likely tokens; all others have probability 0",
        "reward": "of the prefix with the candidate, in units of the reward model's logits",
        "temperature": "applied to the sum; at 0 this is the paper's greedy form",
        "KL": "exact at every prefix",
    },
)
