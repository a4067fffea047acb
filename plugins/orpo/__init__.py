"""Odds Ratio Preference Optimization (Hong, Lee and Thorne, 2024): imitation with a mild contrast."""

from alignlab.method import Data, Method, Needs

from .config import ORPOConfig

METHOD = Method(
    name="orpo",
    summary="imitate chosen and raise its odds over rejected in one loss; no reference",
    config=ORPOConfig,
    objective="alignlab.plugins.orpo.loss:orpo_loss",
    needs=Needs(data=Data.PAIRS),
    conf="pkg://alignlab.plugins.orpo.conf",
    equation="L = - a log p_w - lambda log sigmoid(log [p_w / (1 - p_w)] - log [p_l / (1 - p_l)]), p = pi(y)^(1 / |y|)",
    paper="https://arxiv.org/abs/2403.07691",
    failures=(
        "At the usual weight imitation dominates: rejected log-probabilities rise together with the chosen ones.",
        "It imitates chosen, and so cannot rise far above completions that are poor.",
        "Nothing holds the policy near its start: KL grows as in supervised fine-tuning.",
    ),
    conventions={
        "reduction": "mean over completion tokens in both terms, mean over pairs",
        "reference": "none",
        "likelihood of chosen": "{sft_weight} x mean over its completion tokens, prompt tokens left out",
        "start": "SFT policy; the paper's is the base model (stages.sft=null)",
    },
)
