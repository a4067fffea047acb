"""Token-level DPO (Zeng et al., 2024): DPO that also watches the KL of every token along both completions."""

from alignlab.method import Data, Method, Needs, Reference

from .config import TDPOConfig

METHOD = Method(
    name="tdpo",
    summary="DPO with the difference of exact token-level KL along both completions in its margin",
    config=TDPOConfig,
    module="alignlab.plugins.tdpo.module:TDPOModule",
    objective="alignlab.plugins.tdpo.loss:tdpo_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.MODEL),
    conf="pkg://alignlab.plugins.tdpo.conf",
    equation="L = - log sigmoid(beta [rho_w - rho_l - alpha (K_l - K_w)]), K = sum_t KL(ref || pi) at each token of y",
    paper="https://arxiv.org/abs/2404.11999",
    failures=(
        "With a gradient on the chosen KL (tdpo1), raising it lowers the loss: the policy is paid to drift there.",
        "Large kl_weight: lowering the rejected KL is cheaper than ordering the pair.",
        "Memory: the logits of policy and reference over the whole vocabulary are held at once.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over pairs",
        "reference": "SFT policy, in memory",
        "KL": "forward, KL(ref || pi), exact over the vocabulary at each completion token, summed",
        "gradient": "through the rejected KL; chosen KL a constant: {chosen_kl_constant}",
        "margin": "implicit reward with the KL terms",
    },
)
