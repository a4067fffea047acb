"""ReMax (Li et al., 2023): REINFORCE whose baseline is the reward of the greedy completion.

Left out of the authors' code: reward differences clamped to +-5, and nucleus sampling at 0.9, whose samples are not
the policy's own.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import ReMaxConfig

METHOD = Method(
    name="remax",
    summary="REINFORCE with the greedy completion's reward as baseline",
    config=ReMaxConfig,
    module="alignlab.plugins.remax.module:ReMaxModule",
    needs=Needs(data=Data.PROMPTS, reference=Reference.MODEL, scorers=("reward",), rollouts=True),
    conf="pkg://alignlab.plugins.remax.conf",
    exact="alignlab.plugins.remax.exact:fixed_point",
    equation=("L = - mean_t A_t log pi(y_t),   A_t = discount^(T - t) (r(x, y) - r(x, greedy)) - beta log(pi/ref)_t"),
    paper="https://arxiv.org/abs/2310.10505",
    failures=(
        "A greedy completion far better than samples makes almost every advantage negative: watch train/greedy_score.",
        "Charged only where it arises, KL bounds drift less than its beta says: set kl_credit=to_go, watch train/kl.",
        "A second sampled and scored completion for each prompt: count it in the budget.",
    ),
    conventions={
        "baseline": "reward of the greedy completion under the present policy, less the same missing-end penalty",
        "KL": "k1 on rollout log-probabilities, credit {kl_credit}",
        "discount": "{discount} a token",
        "reduction": "mean over completion tokens of a minibatch; no ratio, no clip, no whitening",
        "truncation": "treated as ended, score minus {missing_end_penalty}",
    },
)
