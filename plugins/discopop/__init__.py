"""DiscoPOP (Lu et al., 2024): the loss a language model found when asked for losses.

Only the best of the objectives found, the log-ratio modulated loss; the search for it is left out.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import DiscoPOPConfig

METHOD = Method(
    name="discopop",
    summary="logistic loss for negative margins, exponential for positive; not convex",
    config=DiscoPOPConfig,
    objective="alignlab.plugins.discopop.loss:discopop_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.discopop.conf",
    equation="L = (1 - k) log(1 + exp(-z)) + k exp(-z), k = sigmoid(z / tau), z = beta [rho_w - rho_l]",
    paper="https://arxiv.org/abs/2406.08414",
    failures=(
        "At the reference its gradient lowers the margin: pairs may settle in a minimum below 0.",
        "A higher beta or temperature changes the shape, not only the scale: tune them together.",
        "Chosen log-probabilities may fall with the rejected ones: only their difference is trained.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over pairs",
        "reference": "SFT policy, log-probabilities cached",
        "temperature": "tau, dividing the scaled margin",
    },
)
