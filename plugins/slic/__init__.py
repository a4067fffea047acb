"""SLiC-HF (Zhao et al., 2023): rank completions by their likelihood, and keep the chosen one likely."""

from alignlab.method import Data, Method, Needs

from .config import SLiCConfig

METHOD = Method(
    name="slic",
    summary="rank by likelihood up to a margin, imitate chosen; no reference",
    config=SLiCConfig,
    objective="alignlab.plugins.slic.loss:slic_loss",
    needs=Needs(data=Data.PAIRS),
    conf="pkg://alignlab.plugins.slic.conf",
    equation="L = max(0, delta - log pi(y_w | x) + log pi(y_l | x)) - lambda log pi(y_w | x)",
    paper="https://arxiv.org/abs/2305.10425",
    failures=(
        "Sums of log-probabilities without a reference favour whichever completion is shorter.",
        "Only the likelihood of chosen holds the policy: with nll_weight=0 nothing does.",
        "A margin of a nat is soon met: after that it is supervised fine-tuning on chosen.",
    ),
    conventions={
        "reduction": "sum over completion tokens in both terms, mean over pairs",
        "reference": "none",
        "target margin": "{target_margin} nats of a whole completion",
        "likelihood": "{nll_weight} x sum over the tokens of chosen, not of a target of supervised fine-tuning",
    },
)
