"""Who says whether a reply refuses, evades or complies: a source's exact judge, words, a classifier, a model asked.

A judge is a factory: called with its typed settings, and by keyword with `source`, `folder` (survives an
interruption), `device`, and `policy` and `tokenizer` where the settings read them. It returns a `verdicts.Judge`.
One that learns from labels is given `rows` too, where others than those of its settings are to be learned from.
"""

from __future__ import annotations

from alignlab.judges import kinds
from alignlab.method import Component

SOURCE = Component(
    name="source",
    summary="the exact judge of the data source; none where it has none",
    target="alignlab.judges.source:source_judge",
    config=kinds.SourceConfig,
)
PHRASES = Component(
    name="phrases",
    summary="a list of English phrases; its error is not measured on your data: judge-check measures it",
    target="alignlab.judges.phrases:phrases_judge",
    config=kinds.PhrasesConfig,
)
CLASSIFIER = Component(
    name="classifier",
    summary="learned from replies that people labelled, by words or by hidden states",
    target="alignlab.judges.classifier:classifier_judge",
    config=kinds.ClassifierConfig,
)
TRANSFORMERS = Component(
    name="transformers",
    summary="any sequence classifier of transformers, from a directory or the hub",
    target="alignlab.judges.sequence:TransformersJudge",
    config=kinds.TransformersConfig,
)
MODEL = Component(
    name="model",
    summary="any causal language model, asked in words; the likeliest of three answers",
    target="alignlab.judges.asked:model_judge",
    config=kinds.ModelConfig,
)
ENDPOINT = Component(
    name="endpoint",
    summary="a model behind an OpenAI-compatible HTTP endpoint; reads the network",
    target="alignlab.judges.asked:EndpointJudge",
    config=kinds.EndpointConfig,
)
