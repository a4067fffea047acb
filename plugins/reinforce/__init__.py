"""REINFORCE with a baseline (Williams, 1992), as revisited for language models by Ahmadian et al., 2024.

The plainest policy gradient: one completion a prompt, no value model, no ratio, no clip.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import ReinforceConfig

METHOD = Method(
    name="reinforce",
    summary="policy gradient with one number as baseline",
    config=ReinforceConfig,
    module="alignlab.plugins.reinforce.module:ReinforceModule",
    needs=Needs(data=Data.PROMPTS, reference=Reference.MODEL, scorers=("reward",), rollouts=True),
    conf="pkg://alignlab.plugins.reinforce.conf",
    exact="alignlab.plugins.reinforce.exact:fixed_point",
    equation=(
        "L = - mean_i sum_t (G_t - b) log pi(y_t),   G_t = sum_{s >= t} r_s,   "
        "r_t = - beta log(pi/ref)_t + [t = end] r(x, y)"
    ),
    paper="https://arxiv.org/abs/2402.14740",
    failures=(
        "High variance: one number knows nothing of the prompt. Raise batch_size, or take rloo or ppo.",
        "Nothing bounds an update: later minibatches of a rollout are off policy without correction.",
        "A baseline over all history lags behind a reward that rises: lower baseline_decay.",
    ),
    conventions={
        "baseline": "{baseline}, decay {baseline_decay}; of the reward less the price of KL, the same at every token",
        "KL": "in the reward, per token, k1 on rollout log-probabilities, return-to-go",
        "reduction": "sum over tokens, mean over completions",
        "truncation": "treated as ended, score minus {missing_end_penalty}",
    },
)
