"""RLOO (Ahmadian et al., 2024): REINFORCE whose baseline is the mean reward of the other completions.

The whole completion is one action. Left out: the paper's vanilla policy gradient and RAFT, which it compares with.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import RLOOConfig

METHOD = Method(
    name="rloo",
    summary="REINFORCE with the other completions of a prompt as baseline",
    config=RLOOConfig,
    module="alignlab.plugins.rloo.module:RLOOModule",
    needs=Needs(data=Data.PROMPTS, reference=Reference.MODEL, scorers=("reward",), rollouts=True),
    conf="pkg://alignlab.plugins.rloo.conf",
    exact="alignlab.plugins.rloo.exact:fixed_point",
    equation=(
        "L = - mean_i A_i log pi(y_i | x),   A_i = R_i - mean_{j != i} R_j over the group,   "
        "R = r(x, y) - beta log(pi/ref)(y | x)"
    ),
    paper="https://arxiv.org/abs/2402.14740",
    failures=(
        "No bound on an update: several on one rollout, or a high lr, run away. Use surrogate=sequence_clip.",
        "With two completions a prompt the baseline is one sample: raise group_size when train/grad_norm jumps.",
        "Long completions have long log-probabilities: they dominate the gradient, watch train/length.",
    ),
    conventions={
        "baseline": "leave-one-out mean over a group of {group_size}; no standard deviation",
        "KL": "{kl_place}, k1 on rollout log-probabilities, beta {beta}",
        "surrogate": "{surrogate}, clip {clip}",
        "reduction": "sum over tokens, mean over completions; token_clip: mean over tokens of a minibatch",
        "truncation": "treated as ended, score minus {missing_end_penalty}",
    },
)
