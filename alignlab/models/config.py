"""Which model a run starts from. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from omegaconf import MISSING

from alignlab.errors import ConfigError
from alignlab.method import check_ranges, param


class Dtype(Enum):
    """Type of the weights in memory. Half precision would round most updates away; see `trainer.precision`."""

    float32 = "float32"
    float64 = "float64"


@dataclass(kw_only=True)
class TinyModel:
    """A small Llama with fresh weights over the data source's own vocabulary."""

    kind: str = "tiny"
    hidden: int = param(64, "Width of the residual stream; a multiple of 2 x heads.", low=8)
    layers: int = param(2, "Transformer blocks.", low=1)
    heads: int = param(4, "Attention heads.", low=1)
    intermediate: int = param(192, "Width of the gated MLP.", low=8)
    max_positions: int = param(256, "Longest sequence in tokens.", low=16)

    def __post_init__(self) -> None:
        """Check ranges and that the width divides into heads of even size."""
        check_ranges(self, "model")
        if self.hidden % (2 * self.heads):
            raise ConfigError(
                f"model.hidden={self.hidden} must be a multiple of 2 x model.heads={2 * self.heads}",
                f"try model.hidden={2 * self.heads * max(1, self.hidden // (2 * self.heads))}",
            )


@dataclass(kw_only=True)
class HfModel:
    """Any causal language model of transformers, from a directory or, when asked for by its id, the hub."""

    kind: str = "hf"
    path: str = param(MISSING, "A directory that holds a model, or its id on the hub.")
    revision: str | None = None
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Off unless you have read that code."""
    dtype: Dtype = Dtype.float32
    attention: str = "sdpa"

    def __post_init__(self) -> None:
        """Refuse an attention implementation that does not exist."""
        if self.attention not in ("eager", "sdpa", "flash_attention_2"):
            raise ConfigError(
                f"model.attention must be eager, sdpa or flash_attention_2, got {self.attention!r}",
                "pass model.attention=sdpa",
            )
