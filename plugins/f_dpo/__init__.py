"""f-DPO (Wang et al., 2023): DPO for other divergences from the reference than reverse KL."""

from alignlab.method import Data, Method, Needs, Reference

from .config import FDPOConfig

METHOD = Method(
    name="f_dpo",
    summary="DPO whose policy is held to its reference by a chosen f-divergence",
    config=FDPOConfig,
    objective="alignlab.plugins.f_dpo.loss:f_dpo_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.f_dpo.conf",
    exact="alignlab.plugins.f_dpo.exact:fixed_point",
    equation="L = - log sigmoid(beta [f'(pi/ref(y_w | x)) - f'(pi/ref(y_l | x))])",
    paper="https://arxiv.org/abs/2309.16240",
    failures=(
        "forward_kl and alpha: completions that lost probability dominate, and one of them can decide an update.",
        "jensen_shannon: completions that gained probability add no reward, and their pairs stop teaching.",
        "Likelihood displacement, as in DPO, where the divergence does not punish it.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over pairs",
        "reference": "SFT policy, log-probabilities cached",
        "divergence": "{divergence}, alpha={alpha} where it has one",
    },
)
