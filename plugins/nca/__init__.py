"""Noise Contrastive Alignment (Chen et al., 2024): each completion against the reference, not against the other.

The pairwise form only: the general form weighs K completions by explicit rewards, softmax(r / alpha).
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import NCAConfig

METHOD = Method(
    name="nca",
    summary="absolute likelihood of each completion; chosen does not fall",
    config=NCAConfig,
    objective="alignlab.plugins.nca.loss:nca_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.nca.conf",
    exact="alignlab.plugins.nca.exact:fixed_point",
    equation="L = - log sigmoid(r_w) - 1/2 log sigmoid(-r_w) - 1/2 log sigmoid(-r_l), r = beta log pi/ref(y | x)",
    paper="https://arxiv.org/abs/2402.05369",
    failures=(
        "Chosen stops at beta log pi/ref = log 2 while rejected falls without bound.",
        "Weak where both completions are good: the rejected one is pushed down all the same.",
        "A small beta lets the policy go far from the reference before any term saturates.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over pairs",
        "reference": "SFT policy, log-probabilities cached",
        "pairs": "K = 2; soft labels take the place of softmax(r / alpha)",
    },
)
