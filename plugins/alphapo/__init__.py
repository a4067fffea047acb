"""AlphaPO (Gupta et al., 2025): SimPO with a reward whose shape is a setting."""

from alignlab.method import Data, Method, Needs

from .config import AlphaPOConfig

METHOD = Method(
    name="alphapo",
    summary="SimPO with a power of the mean token probability for the logarithm; no reference",
    config=AlphaPOConfig,
    objective="alignlab.plugins.alphapo.loss:alphapo_loss",
    needs=Needs(data=Data.PAIRS),
    conf="pkg://alignlab.plugins.alphapo.conf",
    exact="alignlab.plugins.alphapo.exact:fixed_point",
    equation="L = - log sigmoid(r_w - r_l - gamma), r = beta (1 - p^-alpha) / alpha, p = pi(y | x)^(1 / |y|)",
    paper="https://arxiv.org/abs/2501.03884",
    failures=(
        "With alpha > 0 unlikely completions dominate the gradient: a few odd pairs decide an update.",
        "With alpha < 0 the reward is bounded below and pairs of unlikely completions teach little.",
        "Nothing holds the policy near its start: KL grows with the learning rate and the number of updates.",
    ),
    conventions={
        "reduction": "mean over completion tokens, mean over pairs",
        "reference": "none",
        "reward": "beta (1 - p^-alpha) / alpha, alpha={alpha}",
        "target margin": "{target_margin}, absolute, in reward units: gamma, not gamma / beta",
    },
)
