"""REINFORCE++ (Hu et al., 2025): REINFORCE with PPO's clip, and advantages standardised over the whole batch."""

from alignlab.method import Data, Method, Needs, Reference

from .config import ReinforcePPConfig

METHOD = Method(
    name="reinforce_pp",
    summary="REINFORCE with advantages whitened over the whole batch, and PPO's clip",
    config=ReinforcePPConfig,
    module="alignlab.plugins.reinforce_pp.module:ReinforcePPModule",
    needs=Needs(data=Data.PROMPTS, reference=Reference.MODEL, scorers=("reward",), rollouts=True),
    conf="pkg://alignlab.plugins.reinforce_pp.conf",
    exact="alignlab.plugins.reinforce_pp.exact:fixed_point",
    equation=("L = - mean_t min(q_t A_t, clip(q_t) A_t),   A = whiten(R - baseline - beta sum_{s >= t} k1_s)"),
    paper="https://arxiv.org/abs/2501.03262",
    failures=(
        "Whitening hides the size of the reward: when all completions are alike, noise is scaled to deviation 1.",
        "Without a baseline of its own an easy prompt is always right: take reinforce_pp_baseline.",
        "In the reward, beta counts before whitening: what it weighs changes with the spread of rewards.",
    ),
    conventions={
        "baseline": "{baseline} over a group of {group_size}, then the mean over all tokens of the rollout",
        "standard deviation": "population, over all tokens of the rollout and all processes",
        "KL": "{kl_place}, {kl_estimator} per token; in the reward with return-to-go",
        "ratio": "per token, clipped to [1 - {clip_low}, 1 + {clip_high}]",
        "reduction": "mean over completion tokens of a minibatch",
        "truncation": "treated as ended, score minus {missing_end_penalty}",
    },
)
