"""Preference learning on pairs of the policy's own samples (Guo et al., 2024), by any declared pair objective.

A reward labels the pairs, where the paper asks a language model; samples come from the policy as it is, where the
paper samples at temperature 0.9.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import OwnPairsConfig

METHOD = Method(
    name="online",
    summary="sample, let the reward label pairs, minimise any pair objective on them",
    config=OwnPairsConfig,
    module="alignlab.plugins.online.module:OnlineModule",
    needs=Needs(data=Data.PROMPTS, reference=Reference.MODEL, scorers=("reward",), rollouts=True),
    conf="pkg://alignlab.plugins.online.conf",
    exact="alignlab.plugins.online.exact:fixed_point",
    equation=(
        "L = E[objective(y_w, y_l)],   y_w, y_l = argmax, argmin of r(x, y_i),   y_1 ... y_G ~ pi(. | x);   "
        "objective dpo: - log sigmoid(beta [log pi/ref(y_w | x) - log pi/ref(y_l | x)])"
    ),
    paper="https://arxiv.org/abs/2402.04792",
    failures=(
        "Overoptimisation: labels are the reward model's, whose score rises while the true score falls.",
        "Samples grow alike, pairs become ties and nothing is learned from them: watch train/ties.",
        "Best of many against worst of many widens every difference at once, length among them.",
    ),
    conventions={
        "objective": "{objective}",
        "pairs": "best and worst of {group_size} samples of one prompt",
        "labels": "{labels}; identical completions never count, equal rewards not under hard labels",
        "reduction": "as the objective says, then mean over pairs, those without preference included",
        "reference": "SFT policy; under reference_refresh (here {reference_refresh}) the start of an iteration",
        "truncation": "score minus missing_end_penalty",
    },
)
