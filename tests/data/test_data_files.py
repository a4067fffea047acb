"""Finding, opening and reading files, and every message about what is wrong with one."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from alignlab.data.files import find, hash_files
from alignlab.data.readers import read
from alignlab.errors import ConfigError, DataError

ROWS = [
    {"prompt": "Q, «1»", "chosen": 'yes "it" is\nso\u2028there', "rejected": "no"},
    {"prompt": "Q2", "chosen": "a", "rejected": "b"},
]


def jsonl(rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def csv_bytes(rows, separator=",") -> bytes:
    def quote(text):
        return '"' + text.replace('"', '""') + '"'

    table = [list(rows[0]), *(row.values() for row in rows)]
    return "\r\n".join(separator.join(map(quote, line)) for line in table).encode()


def parquet_bytes(rows) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist(rows), sink, row_group_size=1)
    return sink.getvalue().to_pybytes()


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return sink.getvalue().to_pybytes()


def values(path):
    return [record.values for record in read(find(str(path)))]


KINDS = {
    "rows.jsonl": jsonl(ROWS),
    "rows.json": json.dumps(ROWS, indent=1).encode(),
    "rows.csv": csv_bytes(ROWS),
    "rows.tsv": csv_bytes(ROWS, "\t"),
    "rows.parquet": parquet_bytes(ROWS),
}
PACK = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("packed", PACK)
def test_every_kind_plain_and_packed_gives_the_same_rows(tmp_path, name, packed):
    path = tmp_path / (name + packed)
    path.write_bytes(PACK[packed](KINDS[name]))
    assert values(path) == ROWS


@pytest.mark.parametrize("kind", ["rows.jsonl", "rows.json", "rows.parquet"])
@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.txt", "rows"])
def test_content_decides_over_the_name(tmp_path, kind, name):
    (tmp_path / name).write_bytes(gzip.compress(KINDS[kind]))
    assert values(tmp_path / name) == ROWS


def test_byte_order_mark_and_blank_lines_do_not_matter(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + jsonl(ROWS[:1]) + b"\n  \n" + jsonl(ROWS[1:]))
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbf" + KINDS["rows.csv"])
    assert values(tmp_path / "a.jsonl") == ROWS
    assert values(tmp_path / "b.csv") == ROWS


def test_long_csv_fields_are_read(tmp_path):
    row = {"prompt": "x" * 300_000, "chosen": "a", "rejected": "b"}
    (tmp_path / "long.csv").write_bytes(csv_bytes([row]))
    assert values(tmp_path / "long.csv") == [row]


def test_places_count_from_one(tmp_path):
    for name, data in KINDS.items():
        (tmp_path / name).write_bytes(data)
    places = {name: [record.place for record in read([tmp_path / name])] for name in KINDS}
    assert places["rows.jsonl"] == ["line 1", "line 2"]
    assert places["rows.json"] == places["rows.parquet"] == ["row 1", "row 2"]
    assert places["rows.csv"] == ["row 1 (line 3)", "row 2 (line 4)"]


def test_folders_globs_and_lists_are_sorted_and_without_repeats(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.jsonl", "a.jsonl.gz", "sub/c.jsonl", ".hidden.jsonl", "README.md"):
        (tmp_path / name).write_bytes(jsonl(ROWS))
    names = [path.name for path in find(str(tmp_path))]
    assert names == ["a.jsonl.gz", "b.jsonl", "c.jsonl"]
    assert [path.name for path in find(str(tmp_path / "*.jsonl*"))] == ["a.jsonl.gz", "b.jsonl"]
    both = [str(tmp_path / "b.jsonl"), str(tmp_path)]
    assert [path.name for path in find(both)] == ["b.jsonl", "a.jsonl.gz", "c.jsonl"]


def test_hash_is_of_contents(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same")
    (tmp_path / "c").write_bytes(b"other")
    one, two, three = ([tmp_path / name] for name in "abc")
    assert hash_files(one) == hash_files(two) != hash_files(three)
    assert hash_files(one + three) != hash_files(three + one)


def write(tmp_path: Path, name: str, data: bytes) -> str:
    (tmp_path / name).write_bytes(data)
    return str(tmp_path / name)


BROKEN = {
    "empty file": ("a.jsonl", b"", "a.jsonl is empty"),
    "blank file": ("a.jsonl", b"\n \n", "a.jsonl is empty"),
    "packed empty file": ("a.jsonl.gz", gzip.compress(b""), "a.jsonl.gz is empty"),
    "header only": ("a.csv", b"prompt,chosen\n", "a.csv holds no rows"),
    "empty array": ("a.json", b"[]", "a.json holds no rows"),
    "malformed line": ("a.jsonl", b'{"a": 1}\n{"a": 2,}\n', r"a.jsonl, line 2: not JSON: .* column 9: \{\"a\": 2,\}"),
    "indented object": ("a.jsonl", b'{\n "a": 1\n}', "a.jsonl, line 1: not JSON"),
    "malformed array": ("a.json", b'[{"a": 1},\n {"a" 2}]', "a.json, line 2: not JSON"),
    "row is a list": ("a.jsonl", b'{"a": 1}\n[1, 2]\n', "line 2: a JSON array where a row must be an object"),
    "row is text": ("a.json", b'["x"]', "row 1: a JSON string where a row"),
    "latin-1": ("a.jsonl", '{"a": "x"}\n{"a": "é"}\n'.encode("latin1"), "line 2: not UTF-8, byte 0xe9 in column 8"),
    "utf-16": ("a.jsonl", '{"a": "x"}'.encode("utf-16"), "line 1: not UTF-8, byte 0xff"),
    "too many fields": ("a.csv", b"a,b\n1,2\n1,2,3\n", r"row 2 \(line 3\): 3 fields where the header names 2"),
    "open quote": ("a.csv", b'a,b\n"1,2\n', "not CSV"),
    "cut gzip": ("a.jsonl.gz", gzip.compress(jsonl(ROWS * 50))[:-20], "a.jsonl.gz cannot be read"),
    "cut zstd": ("a.jsonl.zst", zstd(jsonl(ROWS * 50))[:20], "a.jsonl.zst cannot be read"),
    "cut parquet": ("a.parquet", parquet_bytes(ROWS)[:-30], "a.parquet is not Parquet"),
    "unknown kind": ("a.txt", b"hello", "a.txt is of no known kind"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_named(tmp_path, case):
    name, data, message = BROKEN[case]
    path = write(tmp_path, name, data)
    with pytest.raises(DataError, match=message) as caught:
        values(path)
    assert caught.value.remedy


def test_missing_files_suggest_the_nearest(tmp_path):
    write(tmp_path, "train.jsonl", b"{}")
    with pytest.raises(DataError, match=r"no file .*trian.jsonl\n.*did you mean 'train.jsonl'"):
        find(str(tmp_path / "trian.jsonl"))
    with pytest.raises(DataError, match=r"no file .*\n.*holds train.jsonl"):
        find(str(tmp_path / "zzz"))
    with pytest.raises(DataError, match=r"there is no folder .* either"):
        find(str(tmp_path / "no" / "a.jsonl"))


def test_folders_without_data_or_with_a_mixture(tmp_path):
    write(tmp_path, "notes.md", b"x")
    with pytest.raises(DataError, match="holds no data files"):
        find(str(tmp_path))
    write(tmp_path, "a.jsonl", b"{}")
    write(tmp_path, "a.csv", b"a")
    with pytest.raises(DataError, match="several kinds: csv, jsonl"):
        find(str(tmp_path))


@pytest.mark.parametrize("path", [None, 3, [], [None]])
def test_paths_must_be_paths(path):
    with pytest.raises(ConfigError, match=r"data\.path must be a path"):
        find(path)
