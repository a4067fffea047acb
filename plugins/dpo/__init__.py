"""Direct Preference Optimization (Rafailov et al., 2023): a classifier that is secretly a policy."""

from alignlab.method import Data, Method, Needs, Reference

from .config import DPOConfig

METHOD = Method(
    name="dpo",
    summary="classify pairs by implicit reward; no reward model, no sampling",
    config=DPOConfig,
    objective="alignlab.plugins.dpo.loss:dpo_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.dpo.conf",
    exact="alignlab.plugins.dpo.exact:fixed_point",
    equation="L = - log sigmoid(beta [log pi/ref(y_w | x) - log pi/ref(y_l | x)])",
    paper="https://arxiv.org/abs/2305.18290",
    failures=(
        "Likelihood displacement: chosen log-probabilities fall along with the rejected ones.",
        "Margins grow without bound on separable pairs: few epochs, or label_smoothing > 0.",
        "Drifts far for the reward it gains when pairs are not from its own samples.",
    ),
    conventions={
        "reduction": "log-ratios summed over completion tokens, or their means, mean over pairs",
        "means per token": "{length_normalised}",
        "tail": "tokens past the shorter completion of a pair count {tail_weight}",
        "reference": "SFT policy; updates between its moves towards the policy: {reference_every} (0: never)",
        "label_smoothing": "{label_smoothing}, conservative DPO",
        "pair weight": "by the policy's own likelihood: {on_policy_weight}",
        "likelihood of chosen": "{sft_weight} x mean over its tokens, added",
    },
)
