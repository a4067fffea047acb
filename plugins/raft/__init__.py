"""RAFT (Dong et al., 2023) and expert iteration: imitate the best of one's own samples, again and again.

The reward alone selects: the KL penalty that the papers offer as an option is left out, and with it the reference.
"""

from alignlab.method import Data, Method, Needs

from .config import RAFTConfig

METHOD = Method(
    name="raft",
    summary="sample many, imitate the best by reward; no reference, no value model",
    config=RAFTConfig,
    module="alignlab.plugins.raft.module:RAFTModule",
    needs=Needs(data=Data.PROMPTS, scorers=("reward",), rollouts=True),
    conf="pkg://alignlab.plugins.raft.conf",
    equation="L = - E[log pi(y_t | x, y_<t)] over tokens of kept samples;   kept: argmax_i r(x, y_i), or r above a cut",
    paper="https://arxiv.org/abs/2304.06767",
    failures=(
        "Nothing but the learning rate holds the policy near its start: KL grows and diversity is lost.",
        "Bad samples are never pushed down, so that gains per sampled completion are small.",
        "A cut over all prompts keeps the easy ones: the policy imitates what was good already.",
    ),
    conventions={
        "kept": "{keep}",
        "reduction": "mean over completion tokens of what is kept of the whole rollout",
        "reference": "none; train/kl is not known",
        "truncation": "score minus missing_end_penalty; kept if it is still good enough",
    },
)
