"""R-DPO (Park et al., 2024): DPO for a reward that pays for every token written."""

from alignlab.method import Data, Method, Needs, Reference

from .config import RDPOConfig

METHOD = Method(
    name="r_dpo",
    summary="DPO with a price on length inside the preference model",
    config=RDPOConfig,
    objective="alignlab.plugins.r_dpo.loss:r_dpo_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.r_dpo.conf",
    exact="alignlab.plugins.r_dpo.exact:fixed_point",
    equation="L = - log sigmoid(beta [log pi/ref(y_w | x) - log pi/ref(y_l | x)] + alpha [|y_w| - |y_l|])",
    paper="https://arxiv.org/abs/2403.19159",
    failures=(
        "A price too high teaches brevity instead of the preference: replies shrink to nothing.",
        "Where lengths differ by hundreds of tokens the term decides alone: pairs weigh 0 or 1.",
        "Displacement as under DPO: chosen log-probabilities fall along with the rejected ones.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over pairs",
        "reference": "SFT policy, log-probabilities cached",
        "length": "|y| in completion tokens, the end token included; longer chosen, smaller gradient",
        "margin": "implicit reward after the price of length",
    },
)
