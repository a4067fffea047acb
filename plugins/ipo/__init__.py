"""Identity Preference Optimisation (Azar et al., 2023): margins regressed on a fixed target instead of pushed up."""

from alignlab.method import Data, Method, Needs, Reference

from .config import IPOConfig

METHOD = Method(
    name="ipo",
    summary="squared loss of the margin towards a fixed target; margins cannot run away",
    config=IPOConfig,
    objective="alignlab.plugins.ipo.loss:ipo_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.ipo.conf",
    exact="alignlab.plugins.ipo.exact:fixed_point",
    equation="L = (log pi/ref(y_w | x) - log pi/ref(y_l | x) - 1 / (2 beta))^2",
    paper="https://arxiv.org/abs/2310.12036",
    failures=(
        "Sums and means per token are both called IPO: with means the same beta asks for far more.",
        "Gradients scale with 1/beta: at a small beta clipping and the learning rate set the step.",
        "Margins past the target are pulled back, though nothing is wrong with them.",
    ),
    conventions={
        "reduction": "log-ratios summed over completion tokens, or their means, mean over pairs",
        "means per token": "{length_normalised}",
        "reference": "SFT policy, log-probabilities cached",
        "beta": "tau of the paper",
    },
)
