"""Contrastive Preference Optimization (Xu et al., 2024): DPO with a uniform reference, held by the likelihood."""

from alignlab.method import Data, Method, Needs

from .config import CPOConfig

METHOD = Method(
    name="cpo",
    summary="classify pairs by log-probability and imitate chosen; no reference",
    config=CPOConfig,
    objective="alignlab.plugins.cpo.loss:cpo_loss",
    needs=Needs(data=Data.PAIRS),
    conf="pkg://alignlab.plugins.cpo.conf",
    equation="L = - log sigmoid(beta [log pi(y_w | x) - log pi(y_l | x)]) - a log pi(y_w | x) / |y_w|",
    paper="https://arxiv.org/abs/2401.08417",
    failures=(
        "Sums of log-probabilities without a reference favour whichever completion is shorter.",
        "Only the likelihood of chosen holds the policy: with sft_weight=0 nothing does.",
        "It imitates chosen, and so cannot rise far above completions that are poor.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over pairs",
        "reference": "none (uniform)",
        "likelihood of chosen": "{sft_weight} x mean over tokens, added",
    },
)
