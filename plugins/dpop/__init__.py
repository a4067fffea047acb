"""DPO-Positive (Pal et al., 2024): DPO that charges for every nat chosen loses."""

from alignlab.method import Data, Method, Needs, Reference

from .config import DPOPConfig

METHOD = Method(
    name="dpop",
    summary="DPO with a penalty where chosen becomes less likely than under the reference",
    config=DPOPConfig,
    objective="alignlab.plugins.dpop.loss:dpop_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.dpop.conf",
    equation="L = - log sigmoid(beta [rho_w - rho_l - lambda max(0, -rho_w)]), rho = log pi/ref(y | x)",
    paper="https://arxiv.org/abs/2402.13228",
    failures=(
        "A large penalty makes it SFT on the chosen completions: rejected hardly counts.",
        "The gradient jumps by a factor of 1 + lambda at the reference, where training starts.",
        "Only the stored chosen completions are protected: others may still lose probability.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over pairs",
        "reference": "SFT policy, log-probabilities cached",
        "penalty": "inside the log-sigmoid, times beta; no gradient where rho_w = 0",
        "margin": "implicit reward without the penalty",
    },
)
