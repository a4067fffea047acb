"""Who says which of two completions is better, and how one could be better: a source's annotator, a model, an endpoint.

An annotator is a factory: called with its typed settings, and by keyword with `source`, `folder` (survives an
interruption), `device`, `policy`, `tokenizer`, `template`, `end_ids` and `pad_id`. It returns a `feedback.Annotator`.
"""

from __future__ import annotations

from alignlab.annotators import kinds
from alignlab.method import Component

SOURCE = Component(
    name="source",
    summary="what the data source has: stored pairs, or an annotator of its own",
    target="alignlab.annotators.kinds:SourceConfig",
    config=kinds.SourceConfig,
)
POLICY = Component(
    name="policy",
    summary="the SFT policy itself, by the log-probabilities of two answers",
    target="alignlab.annotators.language_model:policy_annotator",
    config=kinds.PolicyConfig,
)
MODEL = Component(
    name="model",
    summary="any causal language model from a directory or the hub",
    target="alignlab.annotators.language_model:model_annotator",
    config=kinds.ModelConfig,
)
ENDPOINT = Component(
    name="endpoint",
    summary="a model behind an OpenAI-compatible HTTP endpoint; reads the network",
    target="alignlab.annotators.endpoint:EndpointAnnotator",
    config=kinds.EndpointConfig,
)
