"""Sources of stored rows: local files, Anthropic's transcripts, data sets of the hub.

All three parse a table once, keep it in a mapped file and divide it by prompt; they have no annotator and no gold.
Local data never touches the network: the hub is read only when a hub id is asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

from alignlab.attacks.attempts import attacked, attempts
from alignlab.attacks.kinds import DIRECT, default_kinds
from alignlab.attacks.kinds import VERSION as ATTACKS_VERSION
from alignlab.data.config import FilesConfig, HhConfig, HubConfig, StoredConfig
from alignlab.data.files import find, hash_files
from alignlab.data.mapped import Lazy
from alignlab.data.readers import Record, read
from alignlab.data.rows import sides
from alignlab.data.schema import Demonstration, Label, Pair, Prompt, Row, Split
from alignlab.data.shapes import SAFETY, Parser
from alignlab.data.table import SPLITS, Table, distinct, few, places, prompt_of, read_table, write_table
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


Write = Callable[[Path], None]
Place = Callable[[Mapping[str, Any], Write], Path]
"""What a source's parsed rows depend on, and what writes them into a folder -> a folder that holds them."""


class StoredSource:
    """Rows that exist, divided by prompt. `records` and `content` are called on first use.

    Parsed rows lie in a mapped file. Whoever has a store says by `place` where to keep it, so that the next process
    finds it; else it lies in a temporary folder, which goes with the source.
    """

    def __init__(
        self, config: StoredConfig, name: str, records: Callable[[], Iterator[Record]], content: Callable[[], str]
    ) -> None:
        self.config, self.name = config, name
        self._records, self._content = records, cache(content)
        self.place: Place = self._temporary

    def _temporary(self, fields: Mapping[str, Any], write: Write) -> Path:
        self._folder = TemporaryDirectory(prefix="alignlab-")
        write(Path(self._folder.name))
        return Path(self._folder.name)

    @cached_property
    def table(self) -> Table:
        """Every row. Raises DataError for a malformed one."""
        config = self.config
        parser = Parser(config.columns, config.text_as)

        def write(folder: Path) -> None:
            write_table(folder, self.name, self._records(), parser, config.format, config.limit)

        settings = {name: getattr(config, name) for name in ("format", "columns", "text_as", "limit")}
        fields = {"content": self._content(), "settings": settings}
        return read_table(self.place(fields, write), self.name)

    @cached_property
    def native(self) -> frozenset[Data]:
        """Views that stored rows give: pairs are also labels, and their chosen side demonstrations."""
        views = _NATIVE[self.table.shape]
        return views | {Data.SAFETY} if self.table.judged else views

    @property
    def seeded(self) -> bool:
        """Whether any rows depend on seeds: attacks on prompts alone are drawn."""
        return bool(self.config.attacks)

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
        harmful = self._distinct(Split.EVALUATION, HARMFUL)
        verbatim = int(self.table.columns.whole("verbatim")[harmful].sum())
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
    def _parts(self) -> np.ndarray:
        """The split of every row, a place in `SPLITS`."""
        config, table = self.config, self.table
        shares = {
            Split.EVALUATION: config.evaluation,
            Split.VALIDATION: config.validation,
            Split.HELD_OUT: config.held_out,
        }
        return places(table.columns.whole("base"), lambda: (prompt_of(row).base for row in table.rows), shares)

    @property
    def sizes(self) -> dict[Split, int]:
        """Rows of each split."""
        return dict(zip(SPLITS, np.bincount(self._parts, minlength=len(SPLITS)).tolist(), strict=True))

    def _of(self, split: Split) -> np.ndarray:
        """Numbers of the rows of a split, in order."""
        return np.flatnonzero(self._parts == SPLITS.index(split))

    def _distinct(self, split: Split, kind: str | None = None) -> np.ndarray:
        """Numbers of rows, one for each prompt of a split, and of one kind where that is given."""
        every = self._of(split)
        rows: np.ndarray = every[distinct(self.table.columns.whole("prompt")[every])]
        if kind is not None:
            rows = rows[self.table.of_kind(kind)[rows]]
        return rows

    def _made(self, rows: np.ndarray, make: Callable[[Any], R]) -> Lazy[R]:
        """What `make` gives of each of some rows."""
        table = self.table.rows
        return Lazy(len(rows), lambda at: make(table[rows[at]]))

    def prompts(self, split: Split, seeds: Seeds) -> Sequence[Prompt]:
        """Each prompt of a split once; `seeds` decide the attacks on harmful prompts of TRAIN and nothing else."""
        rows = self._distinct(split)
        if split is Split.TRAIN and self.config.attacks:
            return self._under_attack(rows, seeds)
        if split is Split.EVALUATION:
            return self._few(rows, self.config.evaluation_prompts)
        return self._made(rows, prompt_of)

    def _few(self, rows: np.ndarray, count: int) -> list[Prompt]:
        if len(rows) > count:
            ids = self.table.ids(rows)
            kept = few(ids, count)
            rows = rows[[identity in kept for identity in ids]]
        return list(self._made(rows, prompt_of))

    def _under_attack(self, rows: np.ndarray, seeds: Seeds) -> Sequence[Prompt]:
        """Prompts with an attack on every harmful one, a function of the seed and the prompt's id."""
        harmful = rows[self.table.of_kind(HARMFUL)[rows]]
        if not len(harmful):
            raise DataError(
                f"data.attacks is set, and no training prompt of {self.name} is of kind {HARMFUL!r}",
                f"add a column kind that says {HARMFUL} where it applies, or leave data.attacks out",
            )
        kinds = sorted(self.config.attacks)

        def turned(row: Row) -> Prompt:
            prompt = prompt_of(row)
            if prompt.kind != HARMFUL:
                return prompt
            rng = seeds.random("world", "attack", prompt.id)
            return attacked(prompt, rng.choice(kinds), rng)

        for row in harmful[self.table.columns.whole("verbatim")[harmful] > 0].tolist():
            turned(self.table.rows[row])  # verbatim text is refused here, not when its prompt is reached
        return self._made(rows, turned)

    attacker = "text"
    """Component of kind `attackers` that speaks this source's language."""

    @cached_property
    def attack_kinds(self) -> dict[str, bool | None]:
        """Kinds that attempts are drawn from; True: in training, None: unknown, since stored text may hold any."""
        met = {kind: True for kind in self.config.attacks}
        if len(self._distinct(Split.TRAIN, HARMFUL)):
            met[DIRECT] = True
        return {kind: met.get(kind) for kind in dict.fromkeys((*default_kinds(), *self.config.attacks))}

    def goals(self, split: Split, kind: str = HARMFUL) -> list[Prompt]:
        """Prompts of a split whose column `kind` says so, as units of posture figures; verbatim text is left out."""
        return [prompt for prompt in self._made(self._distinct(split, kind), prompt_of) if prompt.messages]

    def attempts(self, goal: Prompt, n: int, kinds: Sequence[str], index: int = 0) -> list[Prompt]:
        """`n` attacks on a goal, i.i.d. over `kinds`, each a function of the goal, `index` and its number."""
        return attempts(goal, n, kinds, index)

    def demonstrations(self, seeds: Seeds) -> Sequence[Demonstration]:
        """Completions of TRAIN to imitate: stored ones, or the chosen or desirable side of others."""
        rows = self._of(Split.TRAIN)
        rows = rows[self.table.columns.whole("desirable")[rows] > 0]
        return self._some(self._made(rows, _shown), Data.DEMONSTRATIONS, Split.TRAIN)

    def pairs(self, split: Split) -> Sequence[Pair]:
        """Stored pairs of a split."""
        return self._some(self._made(self._of(split), _itself), Data.PAIRS, split)

    def labels(self, split: Split) -> Sequence[Label]:
        """Stored labels of a split; of pairs, the chosen side as desirable and the rejected as not."""
        rows: Lazy[Any] = self._made(self._of(split), _itself)
        if Data.PAIRS not in self.native:
            return self._some(rows, Data.LABELS, split)
        return self._some(sides(rows), Data.LABELS, split)

    def _some(self, rows: Lazy[R], view: Data, split: Split) -> Lazy[R]:
        if len(rows) and view in self.native:
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


def _itself(row: Any) -> Any:
    return row


def _shown(row: Any) -> Demonstration:
    if isinstance(row, Demonstration):
        return row
    return Demonstration(row.prompt, row.chosen if isinstance(row, Pair) else row.completion)


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
    @cache
    def table() -> Any:
        return download(name, {key: value for key, value in options.items() if value}, config.limit)

    def records() -> Iterator[Record]:
        return (Record(name, f"row {number}", row) for number, row in enumerate(table(), start=1))

    return StoredSource(config, name, records, lambda: hash_table(table()))


HASHED = 10_000
"""Rows of a table that are in memory at once while it is hashed."""


def hash_table(table: Any) -> str:
    """Hash of the rows of a `datasets` table in order, and of their types, however they are stored."""
    total = hashlib.sha256(str(table.data.schema.remove_metadata()).encode())
    for part in table.with_format("arrow").iter(HASHED):
        # Taken one by one, equal rows have equal buffers; slices keep the offsets of what they were cut from.
        for batch in part.take(np.arange(len(part))).combine_chunks().to_batches():
            total.update(batch.serialize())
    return total.hexdigest()


def download(name: str, options: dict[str, Any], limit: int | None) -> Any:
    """A data set of the hub, mapped by the `datasets` library. DataError when it cannot be loaded."""
    from datasets import load_dataset

    try:
        table = load_dataset(name, **options)
    except Exception as error:  # the library raises its own, the hub's and the network's kinds
        given = ", ".join(f"{key}={value}" for key, value in options.items())
        raise DataError(
            f"data set {name} ({given}) cannot be loaded: {type(error).__name__}: {str(error).splitlines()[0]}",
            "check the id, configuration, split and connection; local copies are read with data=files",
        ) from error
    return table.select(range(min(limit or len(table), len(table))))
