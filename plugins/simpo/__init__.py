"""Simple Preference Optimization (Meng, Xia and Chen, 2024): the mean log-probability of a token is the reward."""

from alignlab.method import Data, Method, Needs

from .config import SimPOConfig

METHOD = Method(
    name="simpo",
    summary="classify pairs by mean token log-probability, with a target margin; no reference",
    config=SimPOConfig,
    objective="alignlab.plugins.simpo.loss:simpo_loss",
    needs=Needs(data=Data.PAIRS),
    conf="pkg://alignlab.plugins.simpo.conf",
    exact="alignlab.plugins.simpo.exact:fixed_point",
    equation="L = - log sigmoid(beta [log pi(y_w | x) / |y_w| - log pi(y_l | x) / |y_l|] - gamma)",
    paper="https://arxiv.org/abs/2405.14734",
    failures=(
        "Nothing holds the policy near its start: KL grows with the learning rate and the number of updates.",
        "Chosen log-probabilities fall along with the rejected ones.",
        "A margin that no pair reaches keeps pushing: degenerate or repetitive completions.",
    ),
    conventions={
        "reduction": "mean over completion tokens, mean over pairs",
        "reference": "none",
        "target margin": "{target_margin}, absolute, in reward units: gamma, not gamma / beta",
        "likelihood of chosen": "{sft_weight} x mean over tokens, added",
    },
)
