"""Cost model (Dai et al., 2023): a copy of the language model with a value head, above 0 on harmful completions."""

from alignlab.method import Data, Method, Needs, Output

from .config import CostModelConfig

METHOD = Method(
    name="cost_model",
    summary="learn how harmful a completion is, and where harm begins, from safety labels",
    config=CostModelConfig,
    module="alignlab.plugins.cost_model.module:CostModule",
    needs=Needs(data=Data.SAFETY),
    conf="pkg://alignlab.plugins.cost_model.conf",
    equation="L = - log sigmoid(C_m - C_l) - log sigmoid(z_m C_m) - log sigmoid(z_l C_l),   z = +1 harmful, -1 safe",
    paper="https://arxiv.org/abs/2310.12773",
    failures=(
        "Where harm is rare, calling everything safe gives a high sign accuracy: watch the share of harm found.",
        "Overfits small label sets within two passes: sign and pair accuracy on validation labels fall.",
    ),
    output=Output.SCORER,
    conventions={
        "read at": "last completion token, the end token included",
        "scores": "as trained: 0 is the border of harm, so that nothing is shifted or scaled",
        "pairs without an order": "their signs count, the first term is left out",
        "reduction": "sum of the three terms, mean over pairs",
        "regularisation": "{regularisation} x mean of both squared scores",
    },
)
