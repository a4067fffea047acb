"""Robust DPO (Ray Chowdhury et al., 2024): the DPO loss with label flips subtracted out."""

from alignlab.method import Data, Method, Needs, Reference

from .config import RobustDPOConfig

METHOD = Method(
    name="robust_dpo",
    summary="DPO made unbiased for labels that are flipped at random",
    config=RobustDPOConfig,
    objective="alignlab.plugins.robust_dpo.loss:robust_dpo_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.robust_dpo.conf",
    exact="alignlab.plugins.robust_dpo.exact:fixed_point",
    equation="L = [- (1 - eps) log sigmoid(z) + eps log sigmoid(-z)] / (1 - 2 eps),  z as in DPO",
    paper="https://arxiv.org/abs/2403.00409",
    failures=(
        "The loss has no lower bound: pairs that are already ranked right keep their gradient for ever.",
        "A flip_rate above the true one pushes margins up without end; near 0.5 variance explodes.",
        "Flips that depend on the pair are not uniform noise, and are not corrected.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over pairs",
        "reference": "SFT policy, log-probabilities cached",
        "label noise": "labels flipped with probability {flip_rate}, loss unbiased for clean labels",
    },
)
