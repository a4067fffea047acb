"""What the labels of a sequence classifier stand for. Torch-free: settings are held against a model's config by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from alignlab.data.schema import Verdict
from alignlab.errors import ModelError


def meaning(verdicts: Mapping[str, str], named: Mapping[int, str], path: str) -> list[Verdict]:
    """The verdict of each label, by its number.

    Args:
        verdicts: label → verdict, as set by `judge.verdicts`.
        named: number → label, as the model has them.
        path: `judge.path`, for messages.

    Raises:
        ModelError: for labels that settings and model do not share.
    """
    labels = [str(named[number]) for number in sorted(named)]
    strange = sorted(set(verdicts) - set(labels))
    silent = sorted(set(labels) - set(verdicts))
    if strange or silent:
        what = f"names {strange[0]!r}, which is no label" if strange else f"leaves out {silent[0]!r}, a label"
        raise ModelError(
            f"judge.verdicts {what} of judge.path={path!r}",
            f"say for each of {', '.join(labels)} whether it is refused, partial or complied",
        )
    return [Verdict(verdicts[label]) for label in labels]


def stored_labels(path: str) -> dict[int, str]:
    """Number → label of a model directory, by its config.json.

    Two labels without names are what transformers takes a classifier to have that names none. ModelError for a table
    of labels that is none.
    """
    file = Path(path).expanduser() / "config.json"
    named = json.loads(file.read_text(encoding="utf-8")).get("id2label")
    if named is None:
        return {number: f"LABEL_{number}" for number in range(2)}
    try:
        return {int(number): str(label) for number, label in named.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelError(f"{file}: id2label is no table of labels: {named!r}", "restore the file") from error
