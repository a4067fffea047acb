"""Decoding-time realignment (Liu et al., 2024): one trained policy, every price of KL."""

from alignlab.method import Data, Method, Needs, Reference

from .config import DeRaConfig

METHOD = Method(
    name="dera",
    summary="mix the logits of SFT and an aligned policy; no retraining",
    config=DeRaConfig,
    sampler="alignlab.plugins.dera.sampler:DeRaSampler",
    needs=Needs(data=Data.PROMPTS, reference=Reference.MODEL, policy=True),
    conf="pkg://alignlab.plugins.dera.conf",
    equation="pi(y_t) = softmax[(1 - w) log ref(y_t | x, y_<t) + w log aligned(y_t | x, y_<t)],   w = aligned_weight",
    paper="https://arxiv.org/abs/2402.02992",
    failures=(
        "Normalised token by token, it only approximates what training at beta / aligned_weight would give.",
        "Above 1 it extrapolates: noise in the trained policy's logits is amplified and replies degenerate.",
        "Two models are run for every token, which doubles the cost of sampling.",
    ),
    conventions={
        "policy": "the result of algo.policy, trained as that method trains alone",
        "mixture": "of log-probabilities, normalised at every token",
        "temperature": "applied after mixing",
        "KL": "exact at every prefix",
    },
)
