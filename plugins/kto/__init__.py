"""Kahneman-Tversky Optimization (Ethayarajh et al., 2024): utility of single completions, judged good or bad.

The reference-free variant of the paper, which takes the reference for uniform, is left out.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import KTOConfig

METHOD = Method(
    name="kto",
    summary="raise the utility of single completions judged good or bad; no pairs needed",
    config=KTOConfig,
    module="alignlab.plugins.kto.module:KTOModule",
    needs=Needs(data=Data.LABELS, reference=Reference.LOGPS, mismatched=True),
    conf="pkg://alignlab.plugins.kto.conf",
    exact="alignlab.plugins.kto.exact:fixed_point",
    equation="L = lambda_y (1 - sigmoid(+-beta [log pi/ref(y | x) - z0])), z0 = max(0, mean log pi/ref(y' | x))",
    paper="https://arxiv.org/abs/2402.01306",
    failures=(
        "Saturated: completions far from z0 have no gradient, so hard ones are never learned.",
        "The rarer verdict is outvoted when labels are unbalanced and both lambdas are 1.",
        "Both rewards fall together: the learning rate is too high.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over rows",
        "reference": "SFT policy, log-probabilities cached",
        "z0": "completions of other prompts, mean over the whole batch, then clamped at 0; no gradient",
        "weights": "desirable {lambda_desirable}, undesirable {lambda_undesirable}",
    },
)
