"""Alignment via Optimal Transport, paired (Melnyk et al., 2024): a better distribution of margins, not of each pair."""

from alignlab.method import Data, Method, Needs, Reference

from .config import AOTConfig

METHOD = Method(
    name="aot",
    summary="make the margins of a batch exceed the reference's, rank by rank",
    config=AOTConfig,
    objective="alignlab.plugins.aot.loss:aot_loss",
    couple="alignlab.plugins.aot.loss:match",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.aot.conf",
    equation="L = - log sigmoid(beta [M_(i) - N_(i)]), M = log pi(y_w)/pi(y_l), N of ref, (i) the i-th smallest",
    paper="https://arxiv.org/abs/2406.05882",
    failures=(
        "Small batches: few ranks say little of a distribution, and with one pair it is DPO.",
        "A pair may lose margin at no cost where another gains as much.",
        "Likelihood displacement: chosen log-probabilities fall along with the rejected ones.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over pairs",
        "reference": "SFT policy, log-probabilities cached",
        "sorting": "whole batch over all processes, hard, ties in row order",
    },
)
