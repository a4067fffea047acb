"""Self-Play Preference Optimisation (Wu et al., 2024): regress each log-ratio on its win probability.

One round on stored pairs, with labels for win probabilities. The paper repeats: samples of the current policy are
scored by a preference model and the current policy becomes the reference; that loop is a regime, not a loss.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import SPPOConfig

METHOD = Method(
    name="sppo",
    summary="squared loss towards fixed log-ratios: up for chosen, down for rejected",
    config=SPPOConfig,
    objective="alignlab.plugins.sppo.loss:sppo_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.sppo.conf",
    exact="alignlab.plugins.sppo.exact:fixed_point",
    equation="L = (log pi/ref(y_w | x) - 1/(2 beta))^2 + (log pi/ref(y_l | x) + 1/(2 beta))^2",
    paper="https://arxiv.org/abs/2405.00675",
    failures=(
        "Targets of 1/(2 beta) nats are never reached at a small beta: only early stopping limits the drift.",
        "Gradients scale with 1/beta and are always clipped: the learning rate alone sets the step.",
        "Pairs of near equals get opposite targets all the same, and the policy degenerates.",
    ),
    conventions={
        "reduction": "sum over completion tokens; both squares added (authors' code: their mean); mean over pairs",
        "reference": "SFT policy, log-probabilities cached",
        "labels": "hard: P = 1 for chosen, 0 for rejected; soft labels where the data has them",
        "beta": "1/eta of the paper",
        "rounds": "one, on stored pairs",
    },
)
