"""Alignment via Optimal Transport, unpaired (Melnyk et al., 2024): rewards of all chosen against all rejected."""

from alignlab.method import Data, Method, Needs, Reference

from .config import AOTUnpairedConfig

METHOD = Method(
    name="aot_unpaired",
    summary="make rewards of chosen exceed those of rejected, rank by rank over a batch",
    config=AOTUnpairedConfig,
    objective="alignlab.plugins.aot_unpaired.loss:aot_unpaired_loss",
    couple="alignlab.plugins.aot_unpaired.loss:match",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.aot_unpaired.conf",
    equation="L = - log sigmoid(beta [W_(i) - L_(i)]), i-th smallest of W = log pi/ref(y_w), L = log pi/ref(y_l)",
    paper="https://arxiv.org/abs/2406.05882",
    failures=(
        "Rewards of different prompts are compared, though only those of one prompt are on one scale.",
        "Small batches: few ranks say little of a distribution, and with one pair it is DPO.",
        "Likelihood displacement: chosen log-probabilities fall along with the rejected ones.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over ranks",
        "reference": "SFT policy, log-probabilities cached",
        "sorting": "whole batch over all processes, hard, ties in row order",
        "data": "pairs, whose pairing is ignored: as many chosen as rejected in a batch",
    },
)
