"""Weight extrapolation (Zheng et al., 2024) and interpolation: a point on the line from SFT through a policy."""

from alignlab.method import Data, Method, Needs, Reference

from .config import ExPOConfig

METHOD = Method(
    name="expo",
    summary="weights on the line from SFT through an aligned policy, by default beyond it",
    config=ExPOConfig,
    sampler="alignlab.plugins.expo.sampler:ExPOSampler",
    needs=Needs(data=Data.PROMPTS, reference=Reference.MODEL, policy=True),
    conf="pkg://alignlab.plugins.expo.conf",
    equation="theta = theta_SFT + w (theta_aligned - theta_SFT),   w = aligned_weight",
    paper="https://arxiv.org/abs/2404.16792",
    failures=(
        "Helps a policy that was trained too little; one that is past its best gets worse.",
        "Replies degenerate suddenly as aligned_weight grows, since the model is not linear in its weights.",
        "The paper's alpha is aligned_weight - 1: its 0.3 is 1.3 here.",
    ),
    conventions={
        "policy": "the result of algo.policy, trained as that method trains alone",
        "weights": "all of them, embeddings and head included",
        "KL": "exact at every prefix",
    },
)
