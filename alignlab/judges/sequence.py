"""A sequence classifier of transformers as judge: what the likeliest of its labels stands for.

Weights come from safetensors, and no code that lies beside a model is run. What is longer than the model reads is cut
at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from alignlab.data.schema import Prompt, Verdict
from alignlab.errors import ModelError
from alignlab.judges.kinds import TransformersConfig
from alignlab.judges.wording import filled
from alignlab.models.load import without_dropout
from alignlab.models.named import is_local
from alignlab.models.policy import max_positions


class TransformersJudge:
    """Reads a text made of prompt and reply, and takes the label with the highest logit."""

    def __init__(self, config: TransformersConfig, *, device: str, **given: Any) -> None:
        self.config, self.device = config, device
        self.tokenizer = _loaded(AutoTokenizer, config)
        options: dict[str, Any] = dict(use_safetensors=True, dtype=torch.float32)
        self.model = without_dropout(_loaded(AutoModelForSequenceClassification, config, **options)).eval().to(device)
        self.verdicts = _meaning(config, self.model.config.id2label)
        self.rows = config.batch_size if self.tokenizer.pad_token_id is not None else 1
        self.longest = min(self.tokenizer.model_max_length, _positions(self.model))

    @torch.no_grad()
    def __call__(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Verdict]:
        """A verdict on every reply."""
        asked = [filled(self.config.text, prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
        found: list[Verdict] = []
        for start in range(0, len(asked), self.rows):
            part = asked[start : start + self.rows]
            encoded = self.tokenizer(
                part, truncation=True, max_length=self.longest, padding=len(part) > 1, return_tensors="pt"
            ).to(self.device)
            found += [self.verdicts[label] for label in self.model(**encoded).logits.argmax(-1).tolist()]
        return found


def _positions(model: PreTrainedModel) -> int:
    """Longest text in tokens. Tables of positions may keep their first rows for padding, as RoBERTa's do."""
    tables = [part for name, part in model.named_modules() if name.endswith("position_embeddings")]
    kept = [part.padding_idx + 1 for part in tables if getattr(part, "padding_idx", None) is not None]
    return max_positions(model) - max(kept, default=0)


def _meaning(config: TransformersConfig, named: dict[int, str]) -> list[Verdict]:
    """The verdict of each label, by its number. ModelError for labels that settings and model do not share."""
    labels = [str(named[number]) for number in sorted(named)]
    strange = sorted(set(config.verdicts) - set(labels))
    silent = sorted(set(labels) - set(config.verdicts))
    if strange or silent:
        what = f"names {strange[0]!r}, which is no label" if strange else f"leaves out {silent[0]!r}, a label"
        raise ModelError(
            f"judge.verdicts {what} of judge.path={config.path!r}",
            f"say for each of {', '.join(labels)} whether it is refused, partial or complied",
        )
    return [Verdict(config.verdicts[label]) for label in labels]


def _loaded(loader: Any, config: TransformersConfig, **options: Any) -> Any:
    """A model or tokenizer; no network for a directory, no code that comes with it."""
    local = is_local(config.path, "judge.path")
    try:
        return loader.from_pretrained(
            config.path, revision=config.commit, local_files_only=local, trust_remote_code=False, **options
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        first = (str(error).strip() or repr(error)).splitlines()[0]
        remedy = "pass a complete directory of an architecture that comes with transformers"
        raise ModelError(f"judge.path={config.path!r} could not be loaded: {first}", remedy) from error
