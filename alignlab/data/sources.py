"""Sources of stored rows: local files, Anthropic's transcripts, data sets of the hub.

All three read a table once and divide it by prompt; they have no annotator and no gold. Local data never touches
the network: the hub is read only when a hub id is asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from alignlab.attacks.attempts import attacked, attempts
from alignlab.attacks.kinds import DIRECT, default_kinds
from alignlab.attacks.kinds import VERSION as ATTACKS_VERSION
from alignlab.data.config import FilesConfig, HhConfig, HubConfig, StoredConfig
from alignlab.data.files import find, hash_files
from alignlab.data.readers import Record, read
from alignlab.data.schema import Demonstration, Label, Pair, Prompt, Row, Split
from alignlab.data.shapes import SAFETY, Parser
from alignlab.data.table import Table, chosen_few, distinct, divide, load, prompt_of
from alignlab.errors import DataError
from alignlab.method import Data
from alignlab.seeding import Seeds

VERSION = 1
"""Part of the fingerprint; raised when equal files give other rows."""

HH_ID = "Anthropic/hh-rlhf"
HARMFUL = "harmful"
"""The kind of prompts that attacks are made on."""

_NATIVE = {
    "pairs": frozenset({Data.PAIRS, Data.LABELS, Data.DEMONSTRATIONS, Data.PROMPTS}),
    "labels": frozenset({Data.LABELS, Data.DEMONSTRATIONS, Data.PROMPTS}),
    "demonstrations": frozenset({Data.DEMONSTRATIONS, Data.PROMPTS}),
    "prompts": frozenset({Data.PROMPTS}),
}
_NATIVE["transcripts"] = _NATIVE["responses"] = _NATIVE["pairs"]
_ROWS_MATTER = ("format", "columns", "text_as", "held_out", "validation", "evaluation", "limit", "evaluation_prompts")

R = TypeVar("R", bound=Row)


class StoredSource:
    """Rows that exist, divided by prompt. `records` and `content` are called on first use."""

    def __init__(
        self, config: StoredConfig, name: str, records: Callable[[], Iterator[Record]], content: Callable[[], str]
    ) -> None:
        self.config, self.name = config, name
        self._records, self._content = records, content

    @cached_property
    def table(self) -> Table:
        """Every row. Raises DataError for a malformed one."""
        config = self.config
        parser = Parser(config.columns, config.text_as)
        return load(self.name, self._records(), parser, config.format, config.limit)

    @cached_property
    def native(self) -> frozenset[Data]:
        """Views that stored rows give: pairs are also labels, and their chosen side demonstrations."""
        views = _NATIVE[self.table.shape]
        judged = any(isinstance(row, Pair) and row.safety is not None for row in self.table.rows)
        return views | {Data.SAFETY} if judged else views

    @property
    def safety_columns(self) -> tuple[str, ...]:
        """Columns in which rows of this shape have safety labels, if any."""
        return SAFETY.get(self.table.shape, ())

    @property
    def notes(self) -> list[str]:
        """What was found and what was decided about it, a line each."""
        lines = self.table.lines()
        if Data.PAIRS in self.native:
            lines.append("  demonstrations are the chosen completions: the source has none of its own")
        if self.table.shape == "labels":
            lines.append("  demonstrations are the desirable completions: the source has none of its own")
        verbatim = sum(p.kind == HARMFUL and not p.messages for p in self._prompts(Split.EVALUATION))
        if verbatim:
            lines.append(f"  {verbatim:,} harmful prompts are verbatim text and not attacked: see data.text_as=user")
        if self.config.attacks:
            lines.append("  data.attacks: on harmful prompts that are sampled for; stored completions keep theirs")
        return lines

    @cached_property
    def _fingerprint(self) -> str:
        settings = {name: value for name, value in asdict(self.config).items() if name in _ROWS_MATTER}
        if self.config.attacks:
            settings["attacks"] = [ATTACKS_VERSION, *sorted(self.config.attacks)]
        text = json.dumps([VERSION, self._content(), settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def fingerprint(self, view: str = "all") -> str:
        """Hash of the rows' content and of the settings that decide what is read and how it is divided."""
        return self._fingerprint

    def tokenizer(self) -> None:
        """None: the model brings its own."""
        return None

    @cached_property
    def _parts(self) -> dict[str, Split]:
        config = self.config
        shares = {
            Split.EVALUATION: config.evaluation,
            Split.VALIDATION: config.validation,
            Split.HELD_OUT: config.held_out,
        }
        return divide((prompt_of(row).base for row in self.table.rows), shares)

    def _rows(self, split: Split, kind: type[R]) -> list[R]:
        rows = (row for row in self.table.rows if self._parts[prompt_of(row).base] is split)
        return [row for row in rows if isinstance(row, kind)]

    def prompts(self, split: Split, seeds: Seeds) -> list[Prompt]:
        """Each prompt of a split once; `seeds` decide the attacks on harmful prompts of TRAIN and nothing else."""
        prompts = self._prompts(split)
        if split is Split.TRAIN and self.config.attacks:
            return self._under_attack(prompts, seeds)
        return chosen_few(prompts, self.config.evaluation_prompts) if split is Split.EVALUATION else prompts

    def _prompts(self, split: Split) -> list[Prompt]:
        rows = (row for row in self.table.rows if self._parts[prompt_of(row).base] is split)
        return distinct(prompt_of(row) for row in rows)

    def _under_attack(self, prompts: Sequence[Prompt], seeds: Seeds) -> list[Prompt]:
        """Prompts with an attack on every harmful one, a function of the seed and the prompt's id."""
        if not any(prompt.kind == HARMFUL for prompt in prompts):
            raise DataError(
                f"data.attacks is set, and no training prompt of {self.name} is of kind {HARMFUL!r}",
                f"add a column kind that says {HARMFUL} where it applies, or leave data.attacks out",
            )
        kinds, turned = sorted(self.config.attacks), []
        for prompt in prompts:
            rng = seeds.random("world", "attack", prompt.id)
            turned.append(attacked(prompt, rng.choice(kinds), rng) if prompt.kind == HARMFUL else prompt)
        return turned

    attacker = "text"
    """Component of kind `attackers` that speaks this source's language."""

    @cached_property
    def attack_kinds(self) -> dict[str, bool | None]:
        """Kinds that attempts are drawn from; True: in training, None: unknown, since stored text may hold any."""
        met = {kind: True for kind in self.config.attacks}
        if any(prompt.kind == HARMFUL for prompt in self._prompts(Split.TRAIN)):
            met[DIRECT] = True
        return {kind: met.get(kind) for kind in dict.fromkeys((*default_kinds(), *self.config.attacks))}

    def goals(self, split: Split, kind: str = HARMFUL) -> list[Prompt]:
        """Prompts of a split whose column `kind` says so, as units of posture figures; verbatim text is left out."""
        return [prompt for prompt in self._prompts(split) if prompt.kind == kind and prompt.messages]

    def attempts(self, goal: Prompt, n: int, kinds: Sequence[str], index: int = 0) -> list[Prompt]:
        """`n` attacks on a goal, i.i.d. over `kinds`, each a function of the goal, `index` and its number."""
        return attempts(goal, n, kinds, index)

    def demonstrations(self, seeds: Seeds) -> list[Demonstration]:
        """Completions of TRAIN to imitate: stored ones, or the chosen or desirable side of others."""
        rows = self._rows(Split.TRAIN, Demonstration)
        rows += [Demonstration(row.prompt, row.chosen) for row in self._rows(Split.TRAIN, Pair)]
        good = (row for row in self._rows(Split.TRAIN, Label) if row.desirable)
        rows += [Demonstration(row.prompt, row.completion) for row in good]
        return self._some(rows, Data.DEMONSTRATIONS, Split.TRAIN)

    def pairs(self, split: Split) -> list[Pair]:
        """Stored pairs of a split."""
        return self._some(self._rows(split, Pair), Data.PAIRS, split)

    def labels(self, split: Split) -> list[Label]:
        """Stored labels of a split; of pairs, the chosen side as desirable and the rejected as not."""
        rows = self._rows(split, Label)
        for pair in self._rows(split, Pair):
            rows += [Label(pair.prompt, pair.chosen, True), Label(pair.prompt, pair.rejected, False)]
        return self._some(rows, Data.LABELS, split)

    def _some(self, rows: list[R], view: Data, split: Split) -> list[R]:
        if rows:
            return rows
        raise DataError(
            f"{self.name} holds rows of shape {self.table.shape!r} and has no {view} for the {split} split",
            f"choose data with {view}, or a method that learns from {', '.join(sorted(self.native))}",
        )

    annotates = False

    def prefer(self, prompt: Prompt, first: str, second: str, seeds: Seeds, index: int, *_: Any, **__: Any) -> None:
        """None: stored data has no annotator."""
        return None

    def gold(self, prompt: Prompt, completion: str, ended: bool) -> None:
        """None: the true score is not known."""
        return None

    def judge(self) -> None:
        """None: no judge is exact here."""
        return None


def files_source(config: FilesConfig) -> StoredSource:
    """Rows of local files. Raises DataError when there are none."""
    return _local(config, config.path)


def hh_source(config: HhConfig) -> StoredSource:
    """Anthropic's transcripts from a local copy, or from the hub when its id is given."""
    if config.path != HH_ID:
        folder = config.path if config.subset is None else str(Path(str(config.path)) / config.subset)
        return _local(config, folder)
    return _hub(config, HH_ID, {"data_dir": config.subset, "revision": config.revision, "split": "train"})


def hub_source(config: HubConfig) -> StoredSource:
    """A data set of the hub."""
    options = {"name": config.subset, "revision": config.revision, "split": config.split}
    return _hub(config, config.dataset, options)


def _local(config: StoredConfig, path: Any) -> StoredSource:
    files = find(path)
    name = str(path) if isinstance(path, str) else f"{files[0]} and {len(files) - 1} more"
    return StoredSource(config, name, lambda: read(files), lambda: hash_files(files))


def _hub(config: StoredConfig, name: str, options: dict[str, Any]) -> StoredSource:
    rows: list[dict[str, Any]] = []

    def fetch() -> Sequence[dict[str, Any]]:
        if not rows:
            rows.extend(download(name, {key: value for key, value in options.items() if value}, config.limit))
        return rows

    def records() -> Iterator[Record]:
        return (Record(name, f"row {number}", row) for number, row in enumerate(fetch(), start=1))

    def content() -> str:
        total = hashlib.sha256()
        for row in fetch():
            total.update(json.dumps(row, sort_keys=True, default=str).encode())
        return total.hexdigest()

    return StoredSource(config, name, records, content)


def download(name: str, options: dict[str, Any], limit: int | None) -> Iterator[dict[str, Any]]:
    """Rows of a data set of the hub. DataError when it cannot be loaded."""
    from datasets import load_dataset

    try:
        table = load_dataset(name, **options)
    except Exception as error:  # the library raises its own, the hub's and the network's kinds
        given = ", ".join(f"{key}={value}" for key, value in options.items())
        raise DataError(
            f"data set {name} ({given}) cannot be loaded: {type(error).__name__}: {str(error).splitlines()[0]}",
            "check the id, configuration, split and connection; local copies are read with data=files",
        ) from error
    yield from table.select(range(min(limit or len(table), len(table))))
