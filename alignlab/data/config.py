"""What can be set about stored data, and the sources that read it. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from alignlab.attacks.kinds import check_kinds
from alignlab.errors import ConfigError
from alignlab.method import Component
from alignlab.settings import check_ranges, param

FORMATS = ("auto", "pairs", "labels", "demonstrations", "prompts", "transcripts", "responses")
TEXT_AS = ("text", "user")


@dataclass(kw_only=True)
class StoredConfig:
    """Settings that every source of stored rows shares."""

    source: str
    """The plugin."""
    format: str = param("auto", "Shape of the rows; auto reads it off the first ones.")
    columns: dict[str, str] = field(
        default_factory=dict,
        metadata={"doc": "Other names of columns, as in {prompt: question, chosen: better}."},
    )
    text_as: str = param("text", "A prompt given as plain text is verbatim text (text) or one turn of a user (user).")
    max_length: int | None = param(None, "Longest row in tokens; null takes what the model can read.", low=2)
    max_prompt: int | None = param(None, "Longer prompts lose tokens on the left.", low=1)
    max_completion: int | None = param(None, "Rows with a longer completion are dropped.", low=1)
    template: str = param("auto", "How conversations become text: auto, model, plain, hh or none.")
    held_out: float = param(
        0.1, "Share of prompts whose labels no method sees.", low=0, high=1, open_low=True, open_high=True
    )
    validation: float = param(0.05, "Share of prompts for validation.", low=0, high=1, open_low=True, open_high=True)
    evaluation: float = param(
        0.1, "Share of prompts for evaluation only.", low=0, high=1, open_low=True, open_high=True
    )
    limit: int | None = param(None, "Rows read at most, from the start.", low=1)
    evaluation_prompts: int = param(400, "Prompts of EVALUATION at most.", low=1)
    attacks: list[str] = field(
        default_factory=list,
        metadata={
            "doc": "Attack kinds drawn for harmful prompts of TRAIN that completions are sampled for; stored "
            "completions keep their prompts."
        },
    )

    def __post_init__(self) -> None:
        """Check ranges, names, and that the shares leave something to train on."""
        check_ranges(self, "data")
        _one_of("format", self.format, FORMATS)
        _one_of("text_as", self.text_as, TEXT_AS)
        if self.attacks:
            check_kinds("data.attacks", self.attacks)
        shares = self.held_out + self.validation + self.evaluation
        if shares >= 1:
            raise ConfigError(
                f"data.held_out, data.validation and data.evaluation sum to {shares:g} and leave nothing to train on",
                "lower them so that they sum to less than 1",
            )


@dataclass(kw_only=True)
class FilesConfig(StoredConfig):
    """Rows in local files."""

    source: str = "files"
    path: Any = param(MISSING, "A file, a folder or a glob pattern, or a list of these.")


@dataclass(kw_only=True)
class HhConfig(StoredConfig):
    """Anthropic's helpful/harmless transcripts, from a local copy or the hub."""

    source: str = "hh"
    format: str = "transcripts"
    path: Any = param(MISSING, "A folder or file of transcripts, or the hub id Anthropic/hh-rlhf.")
    subset: str | None = None
    """One folder of the hub's copy, such as harmless-base."""
    revision: str | None = None
    """Commit, tag or branch on the hub."""


@dataclass(kw_only=True)
class HubConfig(StoredConfig):
    """A data set of the Hugging Face hub. Reads the network, or the local cache when offline."""

    source: str = "hub"
    dataset: str = param(MISSING, "Its id on the hub, such as trl-lib/ultrafeedback_binarized.")
    subset: str | None = None
    """Its configuration, where it has several."""
    revision: str | None = None
    """Commit, tag or branch; a commit makes runs repeatable."""
    split: str = "train"


def _one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"data.{key} must be one of {', '.join(known)}, got {value!r}", f"pass data.{key}={known[0]}")


FILES = Component(
    name="files",
    summary="Local JSONL, JSON, CSV or Parquet files of pairs, labels, demonstrations or prompts.",
    target="alignlab.data.sources:files_source",
    config=FilesConfig,
)
HH = Component(
    name="hh",
    summary="Anthropic's helpful/harmless preference transcripts, local or from the hub.",
    target="alignlab.data.sources:hh_source",
    config=HhConfig,
)
HUB = Component(
    name="hub",
    summary="A preference data set of the Hugging Face hub.",
    target="alignlab.data.sources:hub_source",
    config=HubConfig,
)
