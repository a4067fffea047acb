"""Rows in a mapped file: equal to those in memory, opened by others, and no weight on memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import data_tokenizers as tok
import numpy as np
import pytest

from alignlab.data.config import FilesConfig
from alignlab.data.loader import Batches
from alignlab.data.mapped import ROWS, Cell, Columns, Layout, Lazy, Writer
from alignlab.data.rows import read_pairs, row_from_json, row_to_json, write_pairs
from alignlab.data.schema import Completion, Demonstration, Label, Message, Pair, Prompt, Safety, Split
from alignlab.data.sources import files_source
from alignlab.data.tokenised import read_tokens, write_tokens
from alignlab.data.tokens import Limits, TokenStream
from alignlab.errors import DataError
from alignlab.method import Data
from alignlab.seeding import Seeds

LAYOUT: Layout = {
    "ids": Cell.IDS,
    "logps": Cell.LOGPS,
    "text": Cell.TEXT,
    "count": Cell.COUNT,
    "number": Cell.NUMBER,
    "flag": Cell.FLAG,
}
TEXTS = ("", "plain", "Zürich, 東京", "half \ud800 a pair", '{"quoted": "line\\n"}')
COUNT = 2 * ROWS + 7


def row_of(number: int) -> tuple[Any, ...]:
    ids = np.arange(number % 5, dtype=np.int32) + number
    logps = -np.arange(number % 3, dtype=np.float32) / 7
    return ids, logps, TEXTS[number % 5], number - (1 << 62), None if number % 4 else number / 3, number % 2 == 0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with Writer(tmp_path / "rows.arrow", LAYOUT) as out:
        for number in range(COUNT):
            out.add(row_of(number))
    assert out.rows == COUNT
    return tmp_path / "rows.arrow"


def test_every_cell_comes_back(file: Path) -> None:
    columns = Columns(file, LAYOUT)
    assert len(columns) == COUNT
    for number in (*range(20), ROWS - 1, ROWS, 2 * ROWS - 1, 2 * ROWS, COUNT - 1):
        found, expected = columns.row(number), row_of(number)
        assert found[0].dtype == np.int32
        assert found[1].dtype == np.float32
        assert [*map(list, found[:2]), *found[2:]] == [*map(list, expected[:2]), *expected[2:]]
        assert list(map(type, found[3:])) == list(map(type, expected[3:]))
    assert columns.whole("flag").tolist() == [number % 2 == 0 for number in range(COUNT)]
    assert columns.whole("count")[ROWS] == ROWS - (1 << 62)


def test_cells_are_views_that_nobody_can_change(file: Path) -> None:
    ids = Columns(file, LAYOUT).row(3)[0]
    with pytest.raises(ValueError, match="read-only"):
        ids[0] = 1


def test_the_datasets_library_opens_it(tmp_path: Path) -> None:
    import datasets

    layout = {name: cell for name, cell in LAYOUT.items() if cell is not Cell.TEXT}
    with Writer(tmp_path / "rows.arrow", layout) as out:
        for number in range(10):
            out.add([value for value in row_of(number) if not isinstance(value, str)])
    opened = datasets.Dataset.from_file(str(tmp_path / "rows.arrow"))
    assert opened.num_rows == 10
    assert opened[7]["ids"] == row_of(7)[0].tolist()


def test_a_lazy_sequence_is_one() -> None:
    asked: list[int] = []

    def square(at: int) -> int:
        asked.append(at)
        return at * at

    squares = Lazy(5, square)
    assert (len(squares), squares[3], squares[-1], squares[1:3], asked) == (5, 9, 16, [1, 4], [3, 4, 1, 2])
    assert squares == [0, 1, 4, 9, 16] == squares
    assert squares != [0, 1, 4, 9]
    assert squares != [0, 1, 4, 9, 15]
    assert list(squares) == list(iter(squares))
    assert not Lazy(0, square)
    for wrong in (5, -6):
        with pytest.raises(IndexError, match=f"row {wrong} of 5"):
            squares[wrong]


ABOUT = ("cat", "hat", "rim", "cat")
PROMPTS = [
    *(
        Prompt(f"p{i}", messages=(Message("user", f"tell me about the {['cat', 'hat', 'rim'][i % 3]}"),))
        for i in range(6)
    ),
    Prompt("text", text="the cat is", kind="benign", meta={"relevant": ["hat"], "need": 1}),
]
SIDES = Completion("the hat is red"), Completion("tap it", (3, 5, 4))
PAIRS = [
    *(Pair(prompt, *SIDES, margin=0.1 * i, probability=None if i % 2 else 0.9) for i, prompt in enumerate(PROMPTS)),
    Pair(PROMPTS[0], SIDES[0], SIDES[0]),
    Pair(PROMPTS[0], *SIDES, safety=Safety((False, True), 1)),
    Pair(PROMPTS[1], *SIDES, safety=Safety((True, True), None)),
]
VIEWS = {
    Data.PAIRS: PAIRS,
    Data.SAFETY: PAIRS,
    Data.LABELS: [Label(prompt, SIDES[i % 2], i % 2 == 0) for i, prompt in enumerate(PROMPTS)],
    Data.DEMONSTRATIONS: [Demonstration(prompt, SIDES[i % 2]) for i, prompt in enumerate(PROMPTS)],
    Data.REVISIONS: [Demonstration(prompt, SIDES[i % 2]) for i, prompt in enumerate(PROMPTS)],
    Data.PROMPTS: PROMPTS,
}


def plain(row: Any) -> list[Any]:
    values = [getattr(row, spec.name) for spec in fields(row)]
    return [(value.dtype, value.tolist()) if isinstance(value, np.ndarray) else value for value in values]


@pytest.mark.parametrize("view", VIEWS)
def test_mapped_tokens_equal_those_in_memory(view: Data, tmp_path: Path) -> None:
    def stream() -> TokenStream:
        return TokenStream(view, iter(VIEWS[view]), tok.build(), Limits(60))

    expected = list(stream())
    assert write_tokens(tmp_path / "rows.arrow", view, stream()) == len(expected) > 1
    found = read_tokens(tmp_path / "rows.arrow", view)
    assert [plain(row) for row in found] == [plain(row) for row in expected]
    assert {type(row) for row in found} == {type(expected[0])}


def test_a_stream_reports_when_it_has_ended_and_refuses_to_end_empty() -> None:
    stream = TokenStream(Data.PAIRS, PAIRS, tok.build(), Limits(60))
    kept = len(list(stream))
    assert (stream.report.rows, stream.report.kept, stream.report.identical) == (len(PAIRS), kept, 1)
    with pytest.raises(DataError, match="no pairs left to train on"):
        list(TokenStream(Data.PAIRS, [], tok.build(), Limits(60)))


@pytest.mark.parametrize("row", [PROMPTS[0], PROMPTS[-1], *PAIRS, *VIEWS[Data.LABELS], *VIEWS[Data.DEMONSTRATIONS]])
def test_rows_of_every_shape_survive_json(row: Any) -> None:
    assert row_from_json(json.loads(json.dumps(row_to_json(row)))) == row


def test_a_file_without_pairs_has_none(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.jsonl", [])
    assert read_pairs(tmp_path / "pairs.jsonl") == []


def test_a_resumed_run_reads_the_rows_of_its_next_batches_alone() -> None:
    asked: list[int] = []

    def batches(make: Callable[[int], int]) -> Batches[int, list[int]]:
        return Batches(Lazy(100, make), lambda rows, _: list(rows), 8, seeds=Seeds(0), epochs=2)

    whole = batches(lambda at: at)
    expected = list(whole)[20:]
    stopped, resumed = batches(lambda at: at), batches(lambda at: (asked.append(at), at)[1])
    iterator = iter(stopped)
    for _ in range(20):
        next(iterator)
    resumed.load_state_dict(stopped.state_dict())
    assert list(resumed) == expected
    assert asked == [row for batch in expected for row in batch]


def test_stored_rows_are_parsed_once_for_those_who_keep_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, kept, asked = tmp_path / "rows.jsonl", tmp_path / "kept", []
    path.write_text("".join(json.dumps({"prompt": f"q {i}", "chosen": "a", "rejected": "b"}) + "\n" for i in range(50)))

    def source() -> Any:
        made = files_source(FilesConfig(path=str(path)))

        def place(given: Any, write: Callable[[Path], None]) -> Path:
            asked.append(given)
            if not kept.exists():
                kept.mkdir()
                write(kept)
            return kept

        made.place = place
        return made

    first = source()
    rows, sizes, notes = list(first.table.rows), first.sizes, first.notes
    assert len(rows) == sum(sizes.values()) == 50
    monkeypatch.setattr("alignlab.data.sources.write_table", lambda *_: pytest.fail("parsed again"))
    second = source()
    assert (second.table.rows, second.sizes, second.notes, second.native) == (rows, sizes, notes, first.native)
    assert second.pairs(Split.TRAIN) == [row for row in rows if row in list(first.pairs(Split.TRAIN))]
    assert asked[0] == asked[1]
    path.write_text(path.read_text() + path.read_text())
    _ = source().table
    assert asked[2]["content"] != asked[0]["content"]


MEMORY = """
import json, sys, threading, time
from pathlib import Path

from alignlab.data.config import FilesConfig
from alignlab.data.rows import read_pairs, write_pairs
from alignlab.data.schema import Split
from alignlab.data.sources import files_source
from alignlab.data.tokenised import read_tokens, write_tokens
from alignlab.data.tokens import Limits, TokenStream
from alignlab.method import Data


class Letters:
    bos_token_id, eos_token_id, chat_template, all_special_tokens = None, 0, None, ()

    def __call__(self, text, **_):
        ids = [list(each.encode()) for each in ([text] if isinstance(text, str) else text)]
        return {"input_ids": ids[0] if isinstance(text, str) else ids}


def held():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) / 1024


most = 0.0


def watch():
    global most
    while True:
        most = max(most, held())
        time.sleep(0.005)


folder, count, keep = Path(sys.argv[1]), int(sys.argv[2]), list if sys.argv[3] == "lists" else lambda rows: rows


def run(count):
    path = folder / f"{count}.jsonl"
    with path.open("w") as file:
        for i in range(count):
            row = {"prompt": f"question {i} " + "x" * 80, "chosen": "yes " * 20, "rejected": "no " * 20}
            file.write(json.dumps(row) + "\\n")
    source = files_source(FilesConfig(path=str(path)))
    table = keep(source.table.rows)
    write_pairs(folder / "pairs", source.pairs(Split.TRAIN))
    pairs = keep(read_pairs(folder / "pairs"))
    write_tokens(folder / "tokens", Data.PAIRS, TokenStream(Data.PAIRS, pairs, Letters(), Limits(1000)))
    rows = keep(read_tokens(folder / "tokens", Data.PAIRS))
    assert sum(len(row.chosen) for row in rows) > 0
    prompts = keep(source.prompts(Split.TRAIN, None))
    assert len(table) == count and len(pairs) == len(rows) == len(prompts)


run(500)  # what is imported on the way
before = most = held()
threading.Thread(target=watch, daemon=True).start()
run(count)
time.sleep(0.05)
print(most - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_many_rows_take_no_more_memory_than_few(tmp_path: Path) -> None:
    """From file to tokens; the same rows kept in lists show that the measure would see them."""

    def megabytes(count: int, kept: str) -> float:
        command = [sys.executable, "-c", MEMORY, str(tmp_path), str(count), kept]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        return float(done.stdout)

    few, many = megabytes(2_000, "mapped"), megabytes(40_000, "mapped")
    assert many - few < 15
    assert megabytes(40_000, "lists") - few > 60
