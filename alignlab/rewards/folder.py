"""A directory that holds a reward model: whether it can be one. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alignlab.errors import ModelError

PICKLED = ("*.bin", "*.pt", "*.pth")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")
"""A tokenizer has one of these at least."""
CLASSIFIER = "ForSequenceClassification"


def check(path: str) -> None:
    """Raise ModelError, naming the directory and the remedy, for what is no sequence classifier with one label."""
    folder = Path(path).expanduser()
    for fault in _faults(folder):
        raise ModelError(f"reward.path={path!r} {fault[0]}", fault[1])


def _faults(folder: Path) -> Iterator[tuple[str, str]]:
    """What is wrong, worst first, each with its remedy."""
    if not folder.is_dir():
        yield (
            "is a file, not a directory" if folder.exists() else "does not exist",
            "pass the directory that save_pretrained wrote",
        )
        return
    if not (folder / "config.json").is_file():
        yield "is no model directory: it has no config.json", "pass the directory that save_pretrained wrote"
        return
    yield from _not_weights(folder)
    yield from _not_a_classifier(folder / "config.json")
    if not any((folder / name).is_file() for name in TOKENIZER):
        yield (
            "holds no tokenizer, so that nobody can say which text its token ids mean",
            "save the tokenizer it was trained with there: tokenizer.save_pretrained(…)",
        )


def _not_weights(folder: Path) -> Iterator[tuple[str, str]]:
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(file.name for pattern in PICKLED for file in folder.glob(pattern))
    if pickled:
        yield (
            f"holds pickled weights ({pickled[0]}), which can run code when loaded",
            "convert them: AutoModelForSequenceClassification.from_pretrained(…).save_pretrained(…)",
        )
    yield "holds no *.safetensors weights", "pass a complete model directory"


def _not_a_classifier(file: Path) -> Iterator[tuple[str, str]]:
    try:
        config = dict[str, Any](json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        yield f"has a config.json that is not valid JSON: {error}", "restore the file"
        return
    named = [str(name) for name in config.get("architectures") or []]
    if not any(name.endswith(CLASSIFIER) for name in named):
        yield (
            f"holds {', '.join(named) or 'a model of no stated architecture'}, not a reward model",
            f"pass a directory whose config.json names …{CLASSIFIER}",
        )
    labels = len(config["id2label"]) if "id2label" in config else config.get("num_labels", 2)
    if labels != 1:
        yield f"has {labels} labels, and a reward is one number", "pass a model that was trained with num_labels=1"
