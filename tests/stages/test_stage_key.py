"""Addresses: what counts, what does not, and what is refused."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import PurePosixPath, PureWindowsPath

import numpy as np
import pytest
from omegaconf import OmegaConf

from alignlab.errors import ConfigError
from alignlab.stages import key
from alignlab.stages.key import StageKey, canonical, diff, differing, environment


class Colour(StrEnum):
    RED = "red"


class Level(Enum):
    HIGH = 3


@dataclass
class Settings:
    lr: float
    layers: tuple[int, ...]


def digest(**fields: object) -> str:
    return StageKey("sft", fields).digest


def test_the_digest_is_the_hash_of_sorted_json() -> None:
    text = '{"fields":{"a":1,"b":[0.1,null,true]},"kind":"sft"}'
    assert digest(b=[0.1, None, True], a=1) == hashlib.sha256(text.encode()).hexdigest()


def test_short_and_name_follow_from_the_digest() -> None:
    one = StageKey("sft", {})
    assert one.short == one.digest[:12]
    assert one.name == f"sft-{one.digest}"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}),
        ({"beta": 1}, {"beta": 1.0}),
        ({"x": 0.0}, {"x": -0.0}),
        ({"x": (1, 2)}, {"x": [1, 2]}),
        ({"x": {"b", "a"}}, {"x": frozenset({"a", "b"})}),
        ({"x": Colour.RED}, {"x": "red"}),
        ({"x": Level.HIGH}, {"x": 3}),
        ({Colour.RED: 1}, {"red": 1}),
        ({"x": np.float64(0.1), "n": np.int64(3)}, {"x": 0.1, "n": 3}),
        ({"x": Settings(0.1, (1, 2))}, {"x": {"lr": 0.1, "layers": [1, 2]}}),
        ({"x": OmegaConf.create({"lr": 0.1, "l": [1]})}, {"x": {"lr": 0.1, "l": [1]}}),
        ({"x": PurePosixPath("a/b")}, {"x": PureWindowsPath("a\\b")}),
    ],
)
def test_equal_meaning_is_one_address(one: dict, two: dict) -> None:
    assert StageKey("sft", one) == StageKey("sft", two)
    assert len({StageKey("sft", one), StageKey("sft", two)}) == 1


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"x": 1}, {"x": True}),
        ({"x": 1}, {"x": "1"}),
        ({"x": [1, 2]}, {"x": [2, 1]}),
        ({"x": None}, {}),
        ({"x": []}, {"x": {}}),
        ({"x": 0.1}, {"x": math.nextafter(0.1, 1)}),
        ({"x": 2.0**60}, {"x": 2**60 + 1}),
        ({"x": math.inf}, {"x": -math.inf}),
    ],
)
def test_different_meaning_is_two_addresses(one: dict, two: dict) -> None:
    assert StageKey("sft", one) != StageKey("sft", two)


def test_the_kind_counts() -> None:
    assert StageKey("sft", {}) != StageKey("reward", {})


def test_fields_survive_json_with_the_same_digest() -> None:
    fields = {"x": [0.1, 1e300, -1e-320, 3.0, math.inf], "s": "größe", "n": None}
    first = StageKey("sft", fields)
    assert StageKey("sft", json.loads(json.dumps(first.fields))) == first


def test_a_key_does_not_change_with_the_mapping_it_came_from() -> None:
    fields = {"x": [1]}
    one = StageKey("sft", fields)
    before = one.digest
    fields["x"].append(2)
    assert one.fields == {"x": [1]}
    assert StageKey("sft", one.fields).digest == before


def test_nan_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"algo\.layers\.1 is NaN"):
        digest(algo={"layers": [0.1, math.nan]})


@pytest.mark.parametrize("value", [object(), b"bytes", np.zeros(2), Settings])
def test_what_has_no_canonical_form_is_refused_by_name(value: object) -> None:
    with pytest.raises(ConfigError, match=r"data\.source is a .* no canonical form"):
        digest(data={"source": value})


def test_names_must_be_text() -> None:
    with pytest.raises(ConfigError, match="has the entry 1, whose name is not text"):
        digest(x={1: 2})


@pytest.mark.parametrize("kind", ["", "a/b", "..", "SFT", ".hidden"])
def test_a_kind_that_cannot_name_a_folder_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a folder"):
        StageKey(kind, {})


def test_records_outside_keys_keep_numbers_as_they_are() -> None:
    found = canonical({"a": 1.0, "b": math.nan, "c": math.inf}, "info", key.recorded)
    assert found == {"a": 1.0, "b": "nan", "c": "inf"}
    assert isinstance(found["a"], float)


def test_environment_gives_major_and_minor(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.13.0+cpu", "transformers": "5.23.1"}

    def version(name: str) -> str:
        if name not in versions:
            raise key.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(key, "version", version)
    assert environment() == {"torch": "2.13", "transformers": "5.23", "tokenizers": "absent"}


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, alignlab.stages.store, alignlab.stages.cache, alignlab.stages.fingerprint, alignlab.stages.key;"
        "alignlab.stages.key.environment();"
        "print(sorted({'torch', 'transformers', 'numpy', 'hydra', 'omegaconf', 'lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_diff_names_dotted_fields() -> None:
    hashes = ["a" * 64, "b" * 64]
    one = StageKey("sft", {"algo": {"lr": 1e-5, "layers": [1, 2]}, "parent": hashes[0], "same": 1})
    two = StageKey("sft", {"algo": {"lr": 3e-5, "layers": [1]}, "parent": hashes[1], "same": 1, "new": {}})
    assert diff(one, two) == [
        "algo.layers.1: 2 → absent",
        "algo.lr: 1e-05 → 3e-05",
        "new: absent → {}",
        f"parent: {'a' * 12} → {'b' * 12}",
    ]
    assert diff(one, one) == []
    assert set(differing(one, StageKey("reward", one.fields))) == {"kind"}


def test_a_leaf_that_becomes_a_branch_differs_on_both_sides() -> None:
    assert diff(StageKey("k", {"a": None}), StageKey("k", {"a": {"b": None}})) == [
        "a: null → absent",
        "a.b: absent → null",
    ]
