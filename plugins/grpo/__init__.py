"""GRPO (Shao et al., 2024) and the objectives that differ from it in one setting or another.

One rollout of `group_size` completions a prompt, whose rewards are compared with each other in place of a value
model. Left out: process rewards, iterated reference and reward model, and sampling until every group varies.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import GRPOConfig

METHOD = Method(
    name="grpo",
    summary="rewards compared within a group of completions, no value model",
    config=GRPOConfig,
    module="alignlab.plugins.grpo.module:GRPOModule",
    needs=Needs(data=Data.PROMPTS, reference=Reference.MODEL, scorers=("reward",), rollouts=True),
    conf="pkg://alignlab.plugins.grpo.conf",
    exact="alignlab.plugins.grpo.exact:fixed_point",
    equation=(
        "L = - mean_i mean_t [min(q_t A_i, clip(q_t, 1 - clip_low, 1 + clip_high) A_i) - beta k3_t],   "
        "A_i = (R_i - mean R) / std R over the group"
    ),
    paper="https://arxiv.org/abs/2402.03300",
    failures=(
        "Groups whose rewards do not vary teach nothing: watch train/flat_groups, raise group_size.",
        "Dividing by the group's deviation inflates differences that are noise, as in groups that nearly agree.",
        "A mean within each completion makes long wrong ones cheap: length grows. Try aggregate=token or constant.",
        "KL as a loss holds the policy less firmly than in the reward: watch train/kl, raise beta.",
    ),
    conventions={
        "baseline": "{baseline} over a group of {group_size}",
        "standard deviation": "{advantage_std} (sample, n - 1), plus {std_eps}; not divided by where it is 0",
        "KL": "{kl_place}, {kl_estimator} per token, weight {kl_weight}, beta {beta}",
        "ratio": "{ratio}; {surrogate} to [1 - {clip_low}, 1 + {clip_high}], dual clip {dual_clip}",
        "aggregation": "{aggregate}, over the whole minibatch and all processes",
        "flat groups": "{zero_std}",
        "truncation": "treated as ended, score minus {missing_end_penalty}; overlong penalty {overlong_penalty}",
    },
)
