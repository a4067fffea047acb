"""Mixed Preference Optimisation (Wang et al., 2024): which is better, is it good, and how to write it, in one loss.

The generation part is the SFT term that every paired method can add. The quality part is a classifier of single
completions whose threshold the paper moves with a running mean of rewards; here it stays at 0, so that the loss of a
pair depends on nothing but the pair.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import MPOConfig

METHOD = Method(
    name="mpo",
    summary="DPO, a good-or-bad classifier and SFT, added with weights",
    config=MPOConfig,
    objective="alignlab.plugins.mpo.loss:mpo_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.mpo.conf",
    equation="L = - w_p log sigmoid(r_w - r_l) - w_q [log sigmoid(r_w) + log sigmoid(-r_l)] - w_g log pi(y_w) / |y_w|",
    paper="https://arxiv.org/abs/2411.10442",
    failures=(
        "The SFT term outweighs the rest once margins are large: the policy copies chosen.",
        "The threshold at 0 fights drift that both completions share, wanted or not.",
        "Three weights, one learning rate: a tuning of beta alone says little about the parts.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over pairs; SFT part a mean over tokens",
        "reference": "SFT policy, log-probabilities cached",
        "quality": "pair form of BCO without reward shift; the paper shifts by a running mean of rewards",
        "generation": "sft_weight",
    },
)
