"""Stored sources: splits by prompt, views derived from one another, fingerprints, and real data."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from alignlab.data.config import FILES, HH, HUB, FilesConfig, HhConfig, HubConfig
from alignlab.data.schema import Demonstration, Label, Split
from alignlab.data.sources import HH_ID, files_source, hash_table, hh_source, hub_source
from alignlab.data.table import divide
from alignlab.data.tokens import Limits, tokenise
from alignlab.errors import ConfigError, DataError
from alignlab.method import Data
from alignlab.seeding import Seeds

SEEDS = Seeds(0)


def rows(count, per_prompt=1):
    return [
        {"prompt": f"question {i}", "chosen": f"yes {i} {j}", "rejected": f"no {i} {j}"}
        for i in range(count)
        for j in range(per_prompt)
    ]


def source(tmp_path, table, **settings):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in table))
    return files_source(FilesConfig(path=str(path), **settings))


def test_splits_share_no_prompt_and_cover_all(tmp_path):
    made = source(tmp_path, rows(400, per_prompt=3))
    found = {split: made.pairs(split) for split in Split}
    bases = {split: {pair.prompt.base for pair in pairs} for split, pairs in found.items()}
    assert sum(map(len, bases.values())) == len(set().union(*bases.values())) == 400
    assert sum(map(len, found.values())) == 1200
    assert 20 <= len(bases[Split.EVALUATION]) <= 60
    assert 5 <= len(bases[Split.VALIDATION]) <= 35
    for split in Split:
        assert {prompt.base for prompt in made.prompts(split, SEEDS)} == bases[split]


def test_a_prompts_split_depends_neither_on_order_nor_on_other_rows(tmp_path):
    table = rows(300)
    whole, half = source(tmp_path, table), source(tmp_path, table[::-2])
    where = {pair.prompt.base: split for split in Split for pair in whole.pairs(split)}
    half = source(tmp_path, table[::-2])
    for split in Split:
        assert all(where[pair.prompt.base] is split for pair in half.pairs(split))


def test_spelling_of_a_prompt_does_not_cross_splits(tmp_path):
    table = rows(100) + [{**row, "prompt": row["prompt"].upper() + " "} for row in rows(100)]
    made = source(tmp_path, table)
    for split in Split:
        assert all(count == 2 for count in Counter(p.prompt.base for p in made.pairs(split)).values())


@pytest.mark.parametrize("count", range(4, 30))
def test_small_sets_still_fill_every_split(count):
    shares = {Split.EVALUATION: 0.1, Split.VALIDATION: 0.05, Split.HELD_OUT: 0.1}
    parts = divide([f"prompt {i}" for i in range(count)], shares)
    assert set(parts.values()) == set(Split)
    assert parts == divide([f"prompt {i}" for i in reversed(range(count))], shares)


def test_too_few_prompts_are_refused(tmp_path):
    with pytest.raises(DataError, match="3 distinct prompts cannot be divided into 4 splits"):
        source(tmp_path, rows(3, per_prompt=5)).pairs(Split.TRAIN)


def test_evaluation_prompts_are_distinct_capped_and_independent_of_file_order(tmp_path):
    table = rows(500, per_prompt=2)
    made = source(tmp_path, table, evaluation=0.4, evaluation_prompts=20)
    ids = [prompt.id for prompt in made.prompts(Split.EVALUATION, SEEDS)]
    assert len(set(ids)) == len(ids) == 20
    assert ids == [prompt.id for prompt in made.prompts(Split.EVALUATION, Seeds(1))]
    turned = source(tmp_path, table[::-1], evaluation=0.4, evaluation_prompts=20)
    assert {prompt.id for prompt in turned.prompts(Split.EVALUATION, SEEDS)} == set(ids)


def test_views_that_pairs_give(tmp_path):
    made = source(tmp_path, rows(100))
    assert made.native == {Data.PAIRS, Data.LABELS, Data.DEMONSTRATIONS, Data.PROMPTS}
    pairs = made.pairs(Split.TRAIN)
    shown = made.demonstrations(SEEDS)
    assert [row.completion for row in shown] == [pair.chosen for pair in pairs]
    labels = made.labels(Split.TRAIN)
    assert [row.desirable for row in labels] == [True, False] * len(pairs)
    assert any("chosen completions" in note for note in made.notes)
    assert "100 rows of shape 'pairs'" in made.notes[0]
    assert made.prefer(pairs[0].prompt, "a", "b", SEEDS, 0) is None
    assert made.gold(pairs[0].prompt, "a", True) is None
    assert made.judge() is None
    assert made.tokenizer() is None


def test_views_that_other_shapes_give(tmp_path):
    labels = [{"prompt": f"q{i}", "completion": "a", "label": i % 2 == 0} for i in range(60)]
    made = source(tmp_path, labels)
    assert made.native == {Data.LABELS, Data.DEMONSTRATIONS, Data.PROMPTS}
    train = made.labels(Split.TRAIN)
    assert all(isinstance(row, Label) for row in train)
    assert len(made.demonstrations(SEEDS)) == sum(row.desirable for row in train)
    with pytest.raises(DataError, match=r"shape 'labels' and has no pairs for the train split"):
        made.pairs(Split.TRAIN)
    made = source(tmp_path, [{"prompt": f"q{i}", "completion": "a"} for i in range(60)])
    assert made.native == {Data.DEMONSTRATIONS, Data.PROMPTS}
    assert all(isinstance(row, Demonstration) for row in made.demonstrations(SEEDS))
    made = source(tmp_path, [{"prompt": f"q{i}"} for i in range(60)])
    assert made.native == {Data.PROMPTS}
    with pytest.raises(DataError, match="has no demonstrations"):
        made.demonstrations(SEEDS)


def test_skipped_rows_are_counted_and_nothing_left_is_an_error(tmp_path):
    bad = [{"prompt": "a", "chosen": "x", "rejected": "x"}, {"prompt": "a", "chosen": "", "rejected": "x"}]
    made = source(tmp_path, rows(20) + bad)
    assert any("1 skipped, identical completions" in note for note in made.notes)
    assert any("1 skipped, empty completion" in note for note in made.notes)
    with pytest.raises(DataError, match=r"no row is left to use: .*1 skipped, empty completion"):
        _ = source(tmp_path, bad).table


def test_limit_reads_the_first_rows_only(tmp_path):
    made = source(tmp_path, [*rows(50), {"broken": 1}], limit=50)
    assert len(made.table.rows) == 50
    with pytest.raises(DataError, match="line 51: key 'chosen' is missing"):
        _ = source(tmp_path, [*rows(50), {"broken": 1}]).table


def test_files_of_different_shapes_are_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(rows(1)[0]))
    (tmp_path / "b.jsonl").write_text(json.dumps({"prompt": "q", "completion": "a"}))
    with pytest.raises(DataError, match=r"b.jsonl holds rows of shape 'demonstrations', .* 'pairs'"):
        _ = files_source(FilesConfig(path=str(tmp_path))).table


def test_the_fingerprint_follows_content_and_what_decides_rows(tmp_path):
    first = source(tmp_path, rows(20)).fingerprint()
    assert first == source(tmp_path, rows(20)).fingerprint()
    assert first == source(tmp_path, rows(20), max_length=99, template="plain").fingerprint()
    assert first != source(tmp_path, rows(21)).fingerprint()
    assert first != source(tmp_path, rows(20), held_out=0.2).fingerprint()
    (tmp_path / "moved").mkdir()
    assert first == source(tmp_path / "moved", rows(20)).fingerprint()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "pear"}, r"data\.format must be one of auto, pairs"),
        ({"text_as": "chat"}, r"data\.text_as must be one of text, user"),
        ({"held_out": 0.5, "evaluation": 0.5}, "sum to 1.05 and leave nothing to train on"),
        ({"evaluation": 0.0}, r"data\.evaluation must lie in \(0, 1\)"),
        ({"max_length": 1}, r"data\.max_length must lie in"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ConfigError, match=message):
        FilesConfig(path="x", **settings)


def test_components_resolve():
    for component, config in ((FILES, FilesConfig), (HH, HhConfig), (HUB, HubConfig)):
        assert component.config is config
        assert callable(component.load())
        assert config(**({"dataset": "x"} if component is HUB else {"path": "x"})).source == component.name


def test_hub_data_sets_come_through_the_library(tmp_path, monkeypatch):
    import datasets

    seen = {}

    def load_dataset(name, **options):
        seen.update(options, id=name)
        return datasets.Dataset.from_list(rows(30))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    made = hub_source(HubConfig(dataset="some/pairs", revision="abc", split="test", limit=25))
    assert len(made.table.rows) == 25
    assert seen == {"id": "some/pairs", "revision": "abc", "split": "test"}
    again = hub_source(HubConfig(dataset="some/pairs", split="validation", limit=25))
    assert made.fingerprint() == again.fingerprint()
    assert made.fingerprint() != hub_source(HubConfig(dataset="some/pairs", limit=24)).fingerprint()
    hh_source(HhConfig(path=HH_ID, subset="harmless-base", format="auto")).fingerprint()
    assert (seen["id"], seen["data_dir"]) == (HH_ID, "harmless-base")


def test_the_hash_of_a_table_is_of_its_rows(tmp_path):
    """Not of how they are cut, selected or stored."""
    import datasets

    given = [{"a": "x" * (k % 7), "b": None if k % 3 else k, "c": {"d": [k] * (k % 4)}} for k in range(90)]
    whole = datasets.Dataset.from_list(given)
    joined = datasets.concatenate_datasets([datasets.Dataset.from_list(part) for part in (given[:31], given[31:])])
    chosen = datasets.Dataset.from_list([given[0], *given]).select(range(1, 91))
    whole.save_to_disk(tmp_path / "rows")
    loaded = datasets.load_from_disk(tmp_path / "rows")
    assert len({hash_table(table) for table in (whole, joined, chosen, loaded)}) == 1
    for other in (given[::-1], given[:-1], [*given[:-1], given[-1] | {"b": 1}], [{"z": row["a"]} for row in given]):
        assert hash_table(datasets.Dataset.from_list(other)) != hash_table(whole)


def test_hub_failures_name_the_data_set(monkeypatch):
    import datasets

    def fail(name, **options):
        raise ConnectionError("no route to the hub\nlong trace")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataError, match=r"some/pairs \(split=train\) cannot be loaded: ConnectionError: no route"):
        _ = hub_source(HubConfig(dataset="some/pairs")).table


def test_local_paths_never_reach_the_hub(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: pytest.fail("reached the hub"))
    with pytest.raises(DataError, match="there is no file"):
        hh_source(HhConfig(path="anthropic/hh-rlhf"))
    source(tmp_path, rows(20)).pairs(Split.TRAIN)


# Published data, whose figures are known.


def hh(real_data: Path, **settings):
    return hh_source(HhConfig(path=str(real_data / "hh-rlhf"), **settings))


def test_hh_counts(real_data):
    made = hh(real_data)
    table = made.table
    assert table.shape == "transcripts"
    assert len(table.rows) + sum(table.skipped.values()) == 2312
    assert table.skipped == {"completions that diverge before the last turn": 5, "empty completion": 4}
    longer = sum(len(pair.chosen.text) > len(pair.rejected.text) for pair in table.rows)
    assert round(100 * longer / len(table.rows)) == 44
    for pair in table.rows:
        roles = [turn.role for turn in pair.prompt.messages]
        assert roles[0] == roles[-1] == "user"
        assert all(a != b for a, b in pairwise(roles))
        assert "\n\nHuman:" not in pair.chosen.text
    assert hh(real_data, format="auto").table.shape == "transcripts"


def test_hh_rows_as_tokens_of_a_real_model(real_data):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(real_data / "stories260K")
    pairs = hh(real_data).table.rows
    kept, report = tokenise(Data.PAIRS, pairs, tokenizer, Limits(10_000))
    assert len(kept) == len(pairs)
    assert report.template == "plain"
    beyond = sum(len(row.prompt) + len(row.chosen) > 512 for row in kept) / len(kept)
    assert beyond == pytest.approx(0.245, abs=0.005)
    for row in kept:
        assert row.prompt.tolist().count(1) == 1
        assert row.prompt[0] == 1
        for completion in (row.chosen.tolist(), row.rejected.tolist()):
            assert completion.count(2) == 1
            assert completion[-1] == 2
    assert report.apart == 0
    kept, report = tokenise(Data.PAIRS, pairs, tokenizer, Limits(512, max_completion=256))
    assert report.kept + report.long_completion == report.rows == len(pairs)
    assert max(len(row.prompt) for row in kept) == 256
    assert all(row.prompt[0] == 1 for row in kept)
    assert report.longest <= 512


def test_llama_factory_files(real_data):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(real_data / "stories260K")
    made = files_source(FilesConfig(path=str(real_data / "prefs" / "dpo_en_demo.json.gz")))
    assert made.table.shape == "pairs"
    assert len(made.table.rows) == 300
    assert Counter(len(pair.prompt.messages) for pair in made.table.rows)[1] == 114
    kept, _ = tokenise(Data.PAIRS, made.table.rows, tokenizer, Limits(20_000))
    assert len(kept) == 300
    made = files_source(FilesConfig(path=str(real_data / "prefs" / "kto_en_demo.json.gz")))
    assert made.table.shape == "labels"
    assert Counter(row.desirable for row in made.table.rows) == {True: 150, False: 150}
    kept, _ = tokenise(Data.LABELS, made.table.rows, tokenizer, Limits(20_000))
    assert len(kept) == 300
    with pytest.raises(DataError, match=r"kto_en_demo.json.gz holds rows of shape 'labels'"):
        _ = files_source(FilesConfig(path=str(real_data / "prefs"))).table


def test_prompt_files_with_other_column_names(real_data):
    path = str(real_data / "strongreject" / "strongreject_dataset.csv")
    columns = {"prompt": "forbidden_prompt", "kind": "category"}
    made = files_source(FilesConfig(path=path, columns=columns, text_as="user"))
    assert made.native == {Data.PROMPTS}
    assert len(made.table.rows) == 313
    assert made.table.rows[0].kind == "Disinformation and deception"


def test_demonstrations_of_hh_are_its_chosen_replies(real_data):
    from transformers import AutoTokenizer

    made = hh(real_data, limit=300)
    rows_ = made.demonstrations(SEEDS)
    assert 0 < len(rows_) < 300
    tokenizer = AutoTokenizer.from_pretrained(real_data / "stories260K")
    kept, report = tokenise(Data.DEMONSTRATIONS, rows_, tokenizer, Limits(512, max_completion=128))
    assert report.long_completion == len(rows_) - len(kept) > 0
