"""PPO-RLHF (Ziegler et al., 2019; Ouyang et al., 2022): policy gradient on a learned reward, with a KL price."""

from alignlab.method import Data, Method, Needs, Reference

from .config import PPOConfig

METHOD = Method(
    name="ppo",
    summary="clipped policy gradient on the reward model, KL priced per token",
    config=PPOConfig,
    module="alignlab.plugins.ppo.module:PPOModule",
    needs=Needs(data=Data.PROMPTS, reference=Reference.MODEL, scorers=("reward",), rollouts=True),
    conf="pkg://alignlab.plugins.ppo.conf",
    exact="alignlab.plugins.ppo.exact:fixed_point",
    equation=(
        "L = - E[min(q_t A_t, clip(q_t, 1 - clip, 1 + clip) A_t)] + value_coef L_V,   "
        "r_t = - beta log(pi/ref)_t + [t = end] r(x, y),   A = GAE(r, V)"
    ),
    paper="https://arxiv.org/abs/2203.02155",
    failures=(
        "Overoptimisation: the reward model's score rises while the true score falls. Raise beta or stop earlier.",
        "A value model that lags (explained variance below 0) makes advantages noise: raise value_lr_scale.",
        "Replies that never end collect no end reward: watch train/ended, raise missing_end_penalty.",
    ),
    conventions={
        "KL": "{kl_place}, per token, k1 on rollout log-probabilities, beta {beta}",
        "advantage": "GAE, whitened over the whole rollout; returns from unwhitened advantages",
        "reduction": "mean over completion tokens of a minibatch",
        "ratio": "per token, clip {clip}, dual clip {dual_clip}",
        "truncation": "treated as ended, score minus missing_end_penalty",
        "value model": "separate",
        "imitation": "weight {ptx_weight}; mean over tokens of each demonstration, one a completion",
    },
)
