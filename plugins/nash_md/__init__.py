"""Nash-MD (Munos et al., 2023): policy gradient on the probability of beating a mixture of itself and the reference.

The paper's preference model reads both completions; here the reward's Bradley-Terry probability stands in for it.
Nash-EMA, whose opponent is an average of past weights, is left out.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import NashMDConfig

METHOD = Method(
    name="nash_md",
    summary="policy gradient on the chance of beating a mixture of itself and the reference",
    config=NashMDConfig,
    module="alignlab.plugins.nash_md.module:NashMDModule",
    needs=Needs(data=Data.PROMPTS, reference=Reference.MODEL, scorers=("reward",), rollouts=True),
    conf="pkg://alignlab.plugins.nash_md.conf",
    exact="alignlab.plugins.nash_md.exact:fixed_point",
    equation=(
        "grad = E[sum_t grad log pi(y_t) (P(y > y') - 1/2 - beta sum_{s >= t} log(pi/ref)_s)],   y ~ pi,   "
        "y' ~ pi^(1 - mixture) ref^mixture / Z token by token,   P = sigmoid(r(x, y) - r(x, y'))"
    ),
    paper="https://arxiv.org/abs/2312.00886",
    failures=(
        "beta is paid in win probability, which is at most 1: values usual elsewhere stop all learning.",
        "A lone comparison is a noisy signal: small rollouts make steps random.",
        "Overoptimisation, slower than elsewhere: a win by far counts no more than a clear win.",
    ),
    conventions={
        "KL": "in the return, from each token on, discount {kl_discount}, k1 on rollout log-probabilities",
        "opponent": "token-level mixture, weight of the reference {mixture}; not differentiated",
        "preference": "sigmoid of the difference of rewards",
        "baseline": "1/2",
        "reduction": "sum over completion tokens, mean over completions",
        "updates": "one a rollout, no ratio",
        "truncation": "score minus missing_end_penalty",
    },
)
