"""Exploratory Preference Optimisation (Xie et al., 2024): online DPO that makes the reference's samples less likely.

Each iteration learns from its own pairs only, where the paper keeps all earlier ones; the reward labels them.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import XPOConfig

METHOD = Method(
    name="xpo",
    summary="own sample against the reference's, plus an optimism term that pushes off the reference",
    config=XPOConfig,
    module="alignlab.plugins.xpo.module:XPOModule",
    needs=Needs(data=Data.PROMPTS, reference=Reference.MODEL, scorers=("reward",), rollouts=True),
    conf="pkg://alignlab.plugins.xpo.conf",
    equation=(
        "L = - log sigmoid(beta [log pi/ref(y_w | x) - log pi/ref(y_l | x)]) + alpha log pi(y' | x),   "
        "{y_w, y_l} = {y ~ pi, y' ~ ref}"
    ),
    paper="https://arxiv.org/abs/2405.21046",
    failures=(
        "With alpha too large the policy leaves the reference's samples faster than labels can hold it: KL explodes.",
        "Overoptimisation: labels are the reward model's, whose score rises while the true score falls.",
        "Once the policy wins nearly every comparison, pairs say little about how to get better.",
    ),
    conventions={
        "objective": "{objective}",
        "pairs": "one sample of the policy, one of the reference",
        "labels": "{labels}; identical completions never count, equal rewards not under hard labels",
        "optimism": "alpha = {alpha}, {alpha_schedule}, on the summed log-probability of the reference's sample, "
        "whatever its label",
        "reduction": "sum over completion tokens, mean over pairs, those without preference included",
        "data": "pairs of the present iteration",
        "truncation": "score minus missing_end_penalty",
    },
)
