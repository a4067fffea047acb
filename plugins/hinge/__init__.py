"""The normalised hinge loss of Liu et al. (2023): DPO's logistic regression as a support vector machine.

Their statistical rejection sampling, which draws the pairs from an estimate of the optimal policy, is not part of it:
pairs are learnt from as they are stored.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import HingeConfig

METHOD = Method(
    name="hinge",
    summary="push margins to a fixed size and then let go; DPO with a hinge",
    config=HingeConfig,
    objective="alignlab.plugins.hinge.loss:hinge_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.hinge.conf",
    exact="alignlab.plugins.hinge.exact:fixed_point",
    equation="L = max(0, 1 - beta [log pi/ref(y_w | x) - log pi/ref(y_l | x)])",
    paper="https://arxiv.org/abs/2309.06657",
    failures=(
        "Wrong labels pull with full force: the gradient does not tell near from far.",
        "Once every margin stands at 1 / beta there is no gradient left, overfitted or not.",
        "Called RSO, it is only its loss: without pairs from rejection sampling, less is to be expected.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over pairs",
        "reference": "SFT policy, log-probabilities cached",
        "beta": "gamma of the paper: the margin asked for is 1 / beta nats",
        "pairs": "as stored, without rejection sampling",
    },
)
