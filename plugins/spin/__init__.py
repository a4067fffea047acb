"""Self-Play Fine-Tuning (Chen et al., 2024): tell demonstrations from one's own earlier samples.

The paper samples once before each iteration, mixes in the samples of the iteration before and starts optimiser and
schedule anew; here each update samples afresh from the present opponent, and optimiser and schedule run through.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import SPINConfig

METHOD = Method(
    name="spin",
    summary="prefer demonstrations to samples of an earlier self; no preferences needed",
    config=SPINConfig,
    module="alignlab.plugins.spin.module:SPINModule",
    objective="alignlab.plugins.spin.loss:spin_loss",
    needs=Needs(data=Data.DEMONSTRATIONS, reference=Reference.MODEL, rollouts=True),
    conf="pkg://alignlab.plugins.spin.conf",
    equation="L = - log sigmoid(beta [log pi/pi_t(y | x) - log pi/pi_t(y' | x)]), y demonstrated, y' sampled from pi_t",
    paper="https://arxiv.org/abs/2401.01335",
    failures=(
        "Cannot surpass its demonstrations: once samples are like them there is nothing left to tell apart.",
        "Learns what marks a demonstration, such as its length or its end, rather than what makes it good.",
        "Opponent moved too often: each iteration undoes part of the one before.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over demonstrations",
        "reference": "the opponent, moved every {reference_every} updates by {reference_mix}; 0 keeps the SFT policy",
        "samples": "one a demonstration and update, temperature 1",
        "truncation": "a sample cut at the length limit stands as it is, without an end token",
    },
)
