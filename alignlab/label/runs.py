"""Which runs a folder holds, and what each is called: its preset, and the settings in which runs of it differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignlab.errors import DataError, StoreError

SAMPLES = "samples.jsonl"
RESULT = "result.json"
CONFIG = "config.yaml"
SFT = "sft"
"""The policy every method of a run started from."""
_SETTINGS = ("algo", "model", "data", "stages", "reward", "annotator", "rollout")
"""Groups that say what was done; the others say where, how fast and what was shown."""
LONGEST_TITLE = 4
"""Settings named in a title; where runs differ in more, a digest tells them apart."""
QUOTE = '"'


@dataclass(frozen=True, slots=True)
class Run:
    """One run whose completions can be labelled."""

    samples: Path
    name: str
    """The method's preset; the folder's name where no result.json says it."""
    seed: int | None
    settings: tuple[tuple[str, str], ...]
    """Every setting that says what was done, by dotted key, as JSON text."""

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.samples.parent

    @property
    def identity(self) -> tuple[str, str]:
        """Preset and a digest of the settings: equal for runs that differ by their seeds alone."""
        return self.name, hashlib.sha256(json.dumps(self.settings).encode()).hexdigest()[:12]


def folders(path: Path) -> tuple[list[Path], list[Path]]:
    """Folders of finished runs at or below a folder, and of unfinished ones. DataError when there are none at all."""
    found = sorted({file.parent for file in path.rglob(SAMPLES) if not _hidden(file.relative_to(path))})
    finished = [folder for folder in found if (folder / RESULT).is_file()]
    if not finished:
        reason = "none of its runs has finished" if found else f"it holds no {SAMPLES}"
        raise DataError(f"{path} has nothing to label: {reason}", "name a run folder or the folder of a sweep")
    return finished, [folder for folder in found if folder not in finished]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def run_of(samples: Path) -> Run:
    """A run from its file of samples and the result and configuration beside it, where there are any."""
    folder = samples.parent
    about = _result(folder / RESULT).get("run", {}) if (folder / RESULT).is_file() else {}
    config = _config(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    name = str(about.get("name") or folder.resolve().name)
    if samples.name != SAMPLES and not about:
        name = samples.name.partition(".")[0]
    seed = about.get("seed")
    kept = {key: value for key, value in config.items() if key in _SETTINGS}
    return Run(samples, name, int(seed) if seed is not None else None, tuple(sorted(_flat(kept))))


def _result(path: Path) -> Mapping[str, Any]:
    from alignlab.evaluation.result import read_result

    return read_result(path)


def _config(path: Path) -> Mapping[str, Any]:
    """The resolved settings of config.yaml; StoreError for a file that is none."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        record = OmegaConf.to_container(OmegaConf.load(path))
    except (OSError, YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise StoreError(f"{path} cannot be read: {str(error).splitlines()[0]}", "run it again") from error
    config = record.get("config") if isinstance(record, dict) else None
    return {str(key): value for key, value in config.items()} if isinstance(config, dict) else {}


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}{key}.")
    else:
        yield prefix[:-1], json.dumps(value, sort_keys=True, ensure_ascii=False)


def title(run: Run, runs: Sequence[Run]) -> str:
    """What a run's method is called among others: its preset, with the settings in which runs of it differ."""
    others = [dict(other.settings) for other in runs if other.name == run.name and other.settings]
    own = dict(run.settings)
    keys = sorted({key for other in others for key in other.keys() | own.keys() if other.get(key) != own.get(key)})
    if not own or not keys:
        return run.name
    shown = [f"{key.removeprefix('algo.')}={own[key].strip(QUOTE)}" for key in keys if key in own]
    return " ".join([run.name, *shown]) if len(shown) <= LONGEST_TITLE else f"{run.name} {run.identity[1]}"
