"""Best of n (Stiennon et al., 2020; Nakano et al., 2021): sample n replies, keep the one with the highest score."""

from alignlab.method import Data, Method, Needs

from .config import BestOfNConfig

METHOD = Method(
    name="best_of_n",
    summary="the highest-scored of n samples of the SFT policy; nothing is trained",
    config=BestOfNConfig,
    sampler="alignlab.plugins.best_of_n.sampler:BestOfNSampler",
    needs=Needs(data=Data.PROMPTS, scorers=("reward",)),
    conf="pkg://alignlab.plugins.best_of_n.conf",
    equation="y = argmax of r(x, y_i) over y_1, ..., y_n ~ SFT;   KL(best of n || SFT) <= log n - (n - 1) / n",
    paper="https://arxiv.org/abs/2009.01325",
    failures=(
        "Overoptimisation: past some n the true score falls while the reward model's rises.",
        "Every reply costs n samples and n scores, whatever n buys.",
        "Where samples hardly differ, the KL is far below its bound and larger n changes nothing.",
    ),
    conventions={
        "samples": "{n} of the SFT policy for each prompt",
        "ties": "the first sample wins",
        "truncation": "scored as it stands, without a penalty",
        "KL": "an upper bound, the same for every reply; exact for rewards without ties",
    },
)
