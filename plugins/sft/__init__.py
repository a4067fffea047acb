"""Supervised fine-tuning: imitate demonstrations. The baseline every other method starts from."""

from alignlab.method import Data, Method, Needs

from .config import SFTConfig

METHOD = Method(
    name="sft",
    summary="imitate demonstrations; the baseline",
    config=SFTConfig,
    module="alignlab.plugins.sft.module:SFTModule",
    needs=Needs(data=Data.DEMONSTRATIONS, sft=False),
    conf="pkg://alignlab.plugins.sft.conf",
    equation="L = - sum_t log pi(y_t | x, y_<t) / (completion tokens in the batch)",
    paper="https://arxiv.org/abs/2203.02155",
    failures=(
        "Learns the faults of the demonstrations along with their virtues.",
        "Overfits small sets: watch the KL and distinct-n of its samples.",
    ),
    conventions={"reduction": "mean over completion tokens of the whole batch", "prompt tokens": "not in the loss"},
)
