"""What this package adds to alignlab: the method IPO (Azar et al., 2023) and a reward for short replies."""

from alignlab.method import Component, Data, Method, Needs, Reference

from .config import BrevityConfig, IPOConfig

METHOD = Method(
    name="ipo_example",
    summary="regress the log-ratio margin of pairs onto a constant",
    config=IPOConfig,
    objective="alignlab_ipo.loss:ipo_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab_ipo.conf",
    equation="L = (log pi/ref(y_w | x) - log pi/ref(y_l | x) - 1 / (2 beta))^2",
    paper="https://arxiv.org/abs/2310.12036",
    failures=("Margins sum over tokens, so that long pairs reach their target sooner than short ones.",),
    conventions={"reduction": "sum over completion tokens, mean over pairs"},
)
BREVITY = Component(
    name="brevity",
    summary="minus the length of a reply: an example of a rule as a reward",
    target="alignlab_ipo.brevity:Brevity",
    config=BrevityConfig,
    conf="pkg://alignlab_ipo.conf",
)
