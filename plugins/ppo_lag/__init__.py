"""PPO-Lagrangian (Safe RLHF; Dai et al., 2023): the reward as high as a limit on expected cost allows."""

from alignlab.method import Data, Method, Needs, Reference

from .config import LagrangianConfig

METHOD = Method(
    name="ppo_lag",
    summary="PPO on the reward under a limit on expected cost, held by a Lagrange multiplier",
    config=LagrangianConfig,
    module="alignlab.plugins.ppo_lag.module:LagrangianModule",
    needs=Needs(data=Data.PROMPTS, reference=Reference.MODEL, scorers=("reward", "cost"), rollouts=True),
    conf="pkg://alignlab.plugins.ppo_lag.conf",
    equation=(
        "max_pi min_lambda>=0  E[r] - lambda (E[c] - threshold),   "
        "A = (A_r - lambda A_c) / (1 + lambda),   log lambda += multiplier_lr lambda (mean c - threshold)"
    ),
    paper="https://arxiv.org/abs/2310.12773",
    failures=(
        "Oscillation: the multiplier answers a mean over past rollouts; lower multiplier_lr or cost_window.",
        "A multiplier at multiplier_max leaves the constraint broken: watch train/multiplier and train/mean_cost.",
        "A policy finds what the cost model wrongly calls safe: costs fall while breaches stay.",
        "A limit that can be met by refusing everything is met like that where refusing is cheap: watch over-refusal.",
    ),
    conventions={
        "KL": "k1 on rollout log-probabilities, per token, full beta in both streams: exactly beta after the division",
        "scale": "r and c are divided by 1 + lambda and the price of KL is not",
        "advantage": "GAE of each stream, combined; whitened over the rollout: {whiten_advantages}",
        "token rewards": "KL included, held within +-{score_limit:g} (0: not held)",
        "cost": "as the cost model says, neither shifted nor scaled, and without the missing-end penalty",
        "constraint": "E[c] <= {threshold:g}; mean over the last {cost_window} rollouts, before the updates of each",
        "reduction": "mean over the tokens of a completion, then over completions",
        "truncation": "treated as ended, reward minus missing_end_penalty",
        "value models": "two, separate",
    },
)
