"""How many parameters a model directory holds, from the headers of its weights alone. Torch-free."""

from __future__ import annotations

import json
import math
from pathlib import Path

SMALL = 5_000_000
"""Parameters up to which a model is faster on one CPU thread than on two."""


def spare_tokens(parameters: int) -> int:
    """Tokens of padding that a further training pass must save on a CPU to be worth its fixed cost.

    Measured at 0.1, 1, 4 and 16 million parameters: a pass costs little beside the tokens of larger models.
    """
    return 128 if parameters < 1_000_000 else 48


def parameters_in(folder: Path) -> int | None:
    """Parameters in the safetensors files of a directory; None where there is none, or one cannot be read.

    A file begins with the length of its header, 8 bytes, and the header, JSON with the shape of every tensor.
    """
    files = sorted(folder.glob("*.safetensors"))
    try:
        return sum(map(_parameters, files)) if files else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _parameters(path: Path) -> int:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > path.stat().st_size:
            raise ValueError("no header of weights")
        header = json.loads(file.read(length))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
