"""Reward model: a copy of the language model with a value head, trained on preferences by Bradley-Terry."""

from alignlab.method import Data, Method, Needs, Output

from .config import RewardModelConfig

METHOD = Method(
    name="reward_model",
    summary="learn a scalar score from preference pairs",
    config=RewardModelConfig,
    module="alignlab.plugins.reward_model.module:RewardModule",
    needs=Needs(data=Data.PAIRS),
    conf="pkg://alignlab.plugins.reward_model.conf",
    equation="L = - log sigmoid(r(x, y_w) - r(x, y_l) - m) + c (r(x, y_w) + r(x, y_l))^2",
    paper="https://arxiv.org/abs/2203.02155",
    failures=(
        "Overfits within two passes on small label sets: pair accuracy on validation labels falls.",
        "Rewards whatever separates the pairs, such as length or courtesy, and a policy will find it.",
    ),
    output=Output.SCORER,
    conventions={
        "read at": "last completion token, the end token included",
        "scores": "shifted to mean 0 on SFT samples, not scaled",
    },
)
