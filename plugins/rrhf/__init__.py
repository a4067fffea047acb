"""Rank Responses to align Human Feedback (Yuan et al., 2023), on pairs: imitate the better, rank it first."""

from alignlab.method import Data, Method, Needs

from .config import RRHFConfig

METHOD = Method(
    name="rrhf",
    summary="imitate chosen and rank it above rejected by a hinge on mean log-probabilities",
    config=RRHFConfig,
    objective="alignlab.plugins.rrhf.loss:rrhf_loss",
    needs=Needs(data=Data.PAIRS),
    conf="pkg://alignlab.plugins.rrhf.conf",
    equation="L = max(0, log pi(y_l | x) / |y_l| - log pi(y_w | x) / |y_w|) - a log pi(y_w | x) / |y_w|",
    paper="https://arxiv.org/abs/2304.05302",
    failures=(
        "A pair that is ranked right by any amount, however small, stops contrasting: it asks for no margin.",
        "It imitates chosen, and so cannot rise far above completions that are poor.",
        "Nothing holds the policy near its start: KL grows as in supervised fine-tuning.",
    ),
    conventions={
        "reduction": "mean over completion tokens, mean over pairs",
        "reference": "none",
        "likelihood of chosen": "{sft_weight} x mean over tokens, added; the paper writes a sum",
        "responses": "two a prompt",
    },
)
