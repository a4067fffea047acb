"""Binary Classifier Optimization (Jung et al., 2024): is it good or bad, with the implicit reward as the logit.

The paper embeds prompts with a model of its own for the density ratio; here the starting policy does it.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import BCOConfig

METHOD = Method(
    name="bco",
    summary="tell good from bad completions by implicit reward against a running threshold",
    config=BCOConfig,
    module="alignlab.plugins.bco.module:BCOModule",
    needs=Needs(data=Data.LABELS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.bco.conf",
    equation="L = - w log sigmoid(+-(beta log pi/ref(y | x) - delta)), delta = (mean reward of good + of bad) / 2",
    paper="https://arxiv.org/abs/2404.04656",
    failures=(
        "Rewards of different prompts meet one threshold, though only those of one prompt are on one scale.",
        "A threshold over all rewards so far lags behind rewards that move fast.",
        "Density ratios of a separable set sit at their bounds: the classifier has learned the rows by heart.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over rows",
        "reference": "SFT policy, log-probabilities cached",
        "shift": "half the sum of both verdicts' running means, this batch included; memory {shift_memory}",
        "density ratio": "{density_ratio}; on undesirable rows, clipped to [0.5, 10]",
    },
)
