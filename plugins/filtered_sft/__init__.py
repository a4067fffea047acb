"""Filtered SFT: imitate the completions judged desirable, and look away from the rest. A baseline."""

from alignlab.method import Data, Method, Needs

from .config import FilteredSFTConfig

METHOD = Method(
    name="filtered_sft",
    summary="imitate only the completions judged desirable; the baseline of label methods",
    config=FilteredSFTConfig,
    module="alignlab.plugins.filtered_sft.module:FilteredSFTModule",
    needs=Needs(data=Data.LABELS),
    conf="pkg://alignlab.plugins.filtered_sft.conf",
    equation="L = - sum of log pi(y_t | x, y_<t) over tokens of desirable rows / (their number in the batch)",
    paper="https://arxiv.org/abs/2305.18290",
    failures=(
        "Learns nothing from undesirable completions: what both kinds share becomes likelier in both.",
        "Overfits small sets, as SFT does: nothing holds it near its start.",
    ),
    conventions={
        "reduction": "mean over completion tokens of desirable rows of the whole batch",
        "prompt tokens": "not in the loss",
        "reward": "mean log-probability a token, without a reference",
    },
)
