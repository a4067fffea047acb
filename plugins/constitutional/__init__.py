"""The supervised phase of Constitutional AI: imitate one's own samples after criticism and revision by principles."""

from alignlab.method import Data, Method, Needs

from .config import ConstitutionalConfig

METHOD = Method(
    name="constitutional",
    summary="imitate own samples, criticised and revised by a constitution",
    config=ConstitutionalConfig,
    module="alignlab.plugins.constitutional.module:ConstitutionalModule",
    needs=Needs(data=Data.REVISIONS, policy=True),
    conf="pkg://alignlab.plugins.constitutional.conf",
    equation="y_0 ~ start(x), y_k = revise(x, y_k-1, principle_k);  L = - sum_t log pi(y_k,t | x, y_k,<t) / tokens",
    paper="https://arxiv.org/abs/2212.08073",
    failures=(
        "Learns the faults of its annotator: a critic that finds harm everywhere teaches refusal of everything.",
        "A model too weak to criticise itself revises its replies into something else, and imitates that.",
        "Revisions come from one pass over the prompts: the policy soon differs from what was revised.",
    ),
    conventions={
        "reduction": "mean over completion tokens of the whole batch",
        "rows": "revisions of every step (every_step={every_step}), {revisions} steps, one sample a prompt",
        "start": "the SFT policy or the method under policy; the paper returns to a pretrained model",
        "helpfulness": "no extra rows: prompts of every kind are revised",
    },
)
