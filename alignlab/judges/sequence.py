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
from alignlab.judges.meaning import meaning
from alignlab.judges.wording import filled
from alignlab.models.load import settled
from alignlab.models.named import is_local
from alignlab.models.trunk import max_positions


class TransformersJudge:
    """Reads a text made of prompt and reply, and takes the label with the highest logit."""

    def __init__(self, config: TransformersConfig, *, device: str, **given: Any) -> None:
        self.config, self.device = config, device
        self.tokenizer = _loaded(AutoTokenizer, config)
        self.model: Any = _classifier(config).to(device)
        self.verdicts = meaning(config.verdicts, self.model.config.id2label, config.path)
        self.rows = config.batch_size if _pad_with(self.model, self.tokenizer.pad_token_id) else 1
        self.longest = min(self.tokenizer.model_max_length, _positions(self.model))

    @torch.no_grad()
    def __call__(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Verdict]:
        """A verdict on every reply; an empty one, which may have no token to read, is evasion, so partial."""
        asked = [filled(self.config.text, prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
        read = self.tokenizer(asked, truncation=True, max_length=self.longest)["input_ids"] if asked else []
        places = [place for place, row in enumerate(read) if row]
        found = [Verdict.PARTIAL] * len(asked)
        for start in range(0, len(places), self.rows):
            part = places[start : start + self.rows]
            for place, label in zip(part, self._labels([asked[place] for place in part]), strict=True):
                found[place] = self.verdicts[label]
        return found

    def _labels(self, texts: list[str]) -> list[int]:
        """The number of the likeliest label of each text."""
        encoded = self.tokenizer(
            texts, truncation=True, max_length=self.longest, padding=len(texts) > 1, return_tensors="pt"
        ).to(self.device)
        labels: list[int] = self.model(**encoded).logits.argmax(-1).tolist()
        return labels


def _positions(model: PreTrainedModel) -> int:
    """Longest text in tokens. Tables of positions may keep their first rows for padding, as RoBERTa's do."""
    tables = [part for name, part in model.named_modules() if name.endswith("position_embeddings")]
    kept = [part.padding_idx + 1 for part in tables if getattr(part, "padding_idx", None) is not None]
    return max_positions(model) - max(kept, default=0)


def _pad_with(model: Any, pad: int | None) -> bool:
    """Tell the model the padding of its tokenizer; False where there is none that it can read.

    A decoder takes the label of the last token that is not padding, by the id that its config names.
    """
    if pad is None or pad >= model.get_input_embeddings().weight.shape[0]:
        return False
    model.config.get_text_config().pad_token_id = pad
    return True


def _classifier(config: TransformersConfig) -> Any:
    """The model in float32. ModelError for one without a trained head, which would get a random one."""
    model, told = _loaded(
        AutoModelForSequenceClassification, config, use_safetensors=True, dtype=torch.float32, output_loading_info=True
    )
    missing = sorted(told["missing_keys"])
    if missing:
        raise ModelError(
            f"judge.path={config.path!r} is no sequence classifier: it has no weights for {missing[0]}",
            "pass a model that was trained to classify, or ask this one in words by judge=model",
        )
    loaded: Any = settled(model)
    return loaded.eval()


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
