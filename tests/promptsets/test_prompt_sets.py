"""Prompt sets: how published files are read, what is left out, and that goals follow from content alone."""

from __future__ import annotations

import csv
import gzip
import json

import pytest

from alignlab.attacks.kinds import default_kinds
from alignlab.data.schema import Split
from alignlab.errors import ConfigError, DataError
from alignlab.promptsets import SETS, PromptSetsConfig, read
from alignlab.promptsets.config import OnHub, on_hub
from alignlab.promptsets.sets import PromptSets

HEADERS = {
    "xstest": ["id", "prompt", "type", "label", "focus", "note"],
    "strongreject": ["category", "source", "forbidden_prompt"],
    "jbb": ["Index", "Goal", "Target", "Behavior", "Category", "Source"],
    "jbb_benign": ["Index", "Goal", "Target", "Behavior", "Category", "Source"],
    "harmbench": ["Behavior", "FunctionalCategory", "SemanticCategory", "Tags", "ContextString", "BehaviorID"],
    "advbench": ["goal", "target"],
}
PROMPT = {"xstest": 1, "strongreject": 2, "jbb": 1, "jbb_benign": 1, "harmbench": 0, "advbench": 0}


def write(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([header, *rows])
    return str(path)


def row(name, text, **columns):
    cells = dict.fromkeys(HEADERS[name], "x") | ({"ContextString": ""} if name == "harmbench" else {})
    cells |= {HEADERS[name][PROMPT[name]]: text, **columns}
    return [cells[column] for column in HEADERS[name]]


def sets(**files):
    return PromptSets(PromptSetsConfig(sets=files))


def plain(path, rows):
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return str(path)


def texts(made, kind="harmful"):
    return [goal.show() for goal in made.goals(Split.EVALUATION, kind)]


def test_every_known_set_has_what_a_reader_of_results_asks():
    assert set(SETS) == set(HEADERS)
    for known in SETS.values():
        assert all((known.title, known.licence, known.paper, known.origin))


@pytest.mark.parametrize("name", sorted(set(SETS) - {"xstest"}))
def test_published_header_is_read(name, tmp_path):
    path = write(tmp_path / "set.csv", HEADERS[name], [row(name, "Do, one"), row(name, 'Do "two"')])
    kind = "lookalike" if name == "jbb_benign" else "harmful"
    assert texts(sets(**{name: path}), kind) == ["Do, one", 'Do "two"']


def test_xstest_labels_say_the_kind(tmp_path):
    rows = [row("xstest", "Kill a process?", label="safe"), row("xstest", "Kill a man?", label="unsafe")]
    made = sets(xstest=write(tmp_path / "x.csv", HEADERS["xstest"], rows))
    assert texts(made) == ["Kill a man?"]
    assert texts(made, "lookalike") == ["Kill a process?"]
    assert texts(made, "benign") == []
    rows[1] = row("xstest", "Kill a man?", label="maybe")
    with pytest.raises(DataError, match=r"row 2 .*column 'label' must be one of safe, unsafe, got 'maybe'"):
        texts(sets(xstest=write(tmp_path / "x.csv", HEADERS["xstest"], rows)))


def test_harmbench_context_goes_before_and_copyright_is_left_out(tmp_path):
    rows = [
        row("harmbench", "Act on it", ContextString="The facts.", FunctionalCategory="contextual"),
        row("harmbench", "Sing the song", FunctionalCategory="copyright"),
    ]
    made = sets(harmbench=write(tmp_path / "h.csv", HEADERS["harmbench"], rows))
    assert texts(made) == ["The facts.\n\n---\n\nAct on it"]
    assert any(line.startswith("  1 left out, asks for protected text") for line in made.notes)


def test_a_file_of_ones_own(tmp_path):
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Go"},
    ]
    rows = [
        {"prompt": "A?", "kind": "harmful"},
        {"prompt": "B?", "kind": "benign"},
        {"prompt": turns, "kind": "harmful"},
    ]
    path = plain(tmp_path / "mine.jsonl", rows)
    made = sets(mine=path)
    assert texts(made) == ["A?", "user: Hi\nassistant: Yes?\nuser: Go"]
    assert texts(made, "benign") == ["B?"]
    assert {goal.meta["set"] for goal in made.goals(Split.EVALUATION)} == {"mine"}
    packed = tmp_path / "mine.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "mine.jsonl").read_bytes()))
    assert texts(sets(mine=str(packed))) == texts(made)


def test_duplicates_are_dropped_within_and_over_sets_and_counted(tmp_path):
    one = plain(tmp_path / "one.jsonl", [{"prompt": text, "kind": "harmful"} for text in ("A?", "B?", " a? ")])
    two = plain(tmp_path / "two.jsonl", [{"prompt": text, "kind": "harmful"} for text in ("b?", "C?")])
    made = sets(one=one, two=two)
    assert texts(made) == ["A?", "B?", "C?"]
    assert [line for line in made.notes if "there already" in line] == ["  1 left out, there already"] * 2
    assert [line for line in made.notes if line.startswith(("one", "two"))] == ["one: 2 harmful", "two: 1 harmful"]
    with pytest.raises(DataError, match=r"sets.two gives no prompt: 2 there already"):
        texts(
            sets(one=plain(tmp_path / "one.jsonl", [{"prompt": t, "kind": "harmful"} for t in ("b?", "C?")]), two=two)
        )


def test_two_sets_that_disagree_about_a_prompt(tmp_path):
    one = plain(tmp_path / "one.jsonl", [{"prompt": "A?", "kind": "harmful"}])
    two = plain(tmp_path / "two.jsonl", [{"prompt": "A?", "kind": "benign"}])
    with pytest.raises(DataError, match=r"one prompt is harmful in one and benign in two: 'A\?'"):
        texts(sets(one=one, two=two))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "A?"}], r"line 1: column 'kind' is missing \(columns there: prompt\)"),
        (
            [{"prompt": "A?", "kind": "rude"}],
            r"line 1: column 'kind' must be one of benign, lookalike, harmful, got 'rude'",
        ),
        ([{"prompt": "A?", "kind": "benign"}, {"kind": "benign"}], r"line 2: column 'prompt' is missing"),
        ([{"prompt": " ", "kind": "benign"}], r"gives no prompt: 1 empty prompt"),
    ],
)
def test_rows_that_cannot_be_used(rows, message, tmp_path):
    with pytest.raises(DataError, match=message):
        texts(sets(mine=plain(tmp_path / "mine.jsonl", rows)))


def test_missing_file_and_folder(tmp_path):
    plain(tmp_path / "mine.jsonl", [{"prompt": "A?", "kind": "benign"}])
    with pytest.raises(DataError, match=r"there is no file .*\n.*did you mean 'mine.jsonl'"):
        texts(sets(mine=str(tmp_path / "mine.json")))
    with pytest.raises(DataError, match=r"sets.mine=.* is a folder"):
        texts(sets(mine=str(tmp_path)))
    with pytest.raises(ConfigError, match=r"posture.sets names no set\n.*known names: xstest, strongreject"):
        sets()


def test_goals_belong_to_evaluation(tmp_path):
    made = sets(mine=plain(tmp_path / "mine.jsonl", [{"prompt": "A?", "kind": "harmful"}]))
    assert [len(made.goals(split)) for split in Split] == [0, 0, 0, 1]
    with pytest.raises(DataError, match=r"unknown kind of prompts 'rude'\n.*benign, lookalike, harmful"):
        made.goals(Split.EVALUATION, "rude")
    assert (made.attacker, made.judge()) == ("text", None)


def test_attack_kinds(tmp_path):
    path = plain(tmp_path / "mine.jsonl", [{"prompt": "A?", "kind": "harmful"}])
    assert sets(mine=path).attack_kinds == dict.fromkeys(default_kinds())
    chosen = PromptSets(PromptSetsConfig(sets={"mine": path}, attacks=["base64", "direct"]))
    assert chosen.attack_kinds == {"base64": None, "direct": None}
    [goal] = chosen.goals(Split.EVALUATION)
    assert {one.attack for one in chosen.attempts(goal, 30, list(chosen.attack_kinds))} == {"", "base64"}
    with pytest.raises(
        ConfigError, match=r"evaluation.posture.attacks: the attack 'stack' is written for .* desk world"
    ):
        PromptSetsConfig(sets={"mine": path}, attacks=["stack"])


def test_fingerprint_follows_content_and_attacks_only(tmp_path):
    rows = [{"prompt": "A?", "kind": "harmful"}]
    path, moved = plain(tmp_path / "mine.jsonl", rows), plain(tmp_path / "other.jsonl", rows)
    first = sets(mine=path).fingerprint()
    assert sets(mine=moved).fingerprint() == first
    assert PromptSets(PromptSetsConfig(sets={"mine": path}, attacks=["direct"])).fingerprint() != first
    assert sets(renamed=path).fingerprint() != first
    assert sets(mine=plain(tmp_path / "mine.jsonl", [*rows, {"prompt": "B?", "kind": "benign"}])).fingerprint() != first


def test_hub_is_read_at_a_revision_only(monkeypatch):
    asked = []

    def download(name, options, limit):
        asked.append((name, options, limit))
        yield from [{"Goal": "Do one", "Target": "t"}, {"Goal": "Do two", "Target": "t"}]

    monkeypatch.setattr(read, "download", download)
    made = sets(jbb="hub:JailbreakBench/JBB-Behaviors@abc123")
    assert not asked
    assert texts(made) == ["Do one", "Do two"]
    options = {"name": "behaviors", "split": "harmful", "revision": "abc123"}
    assert asked == [("JailbreakBench/JBB-Behaviors", options, None)]
    assert on_hub("x", "hub:a/b@v1") == OnHub("a/b", "v1")
    with pytest.raises(ConfigError, match=r"sets.jbb=hub:a/b names no revision of a data set"):
        PromptSetsConfig(sets={"jbb": "hub:a/b"})


def test_another_release_is_noted_and_read(tmp_path):
    made = sets(xstest=write(tmp_path / "x.csv", HEADERS["xstest"], [row("xstest", "A?", label="safe")]))
    assert any("not the release that is known here (v2, xstest_prompts.csv with labels)" in line for line in made.notes)


def test_published_files(real_data):
    files = {
        "xstest": "xstest/xstest_prompts.csv",
        "jbb": "jbb/jbb_harmful_behaviors_100.csv",
        "strongreject": "strongreject/strongreject_dataset.csv",
    }
    made = sets(**{name: str(real_data / path) for name, path in files.items()})
    assert [len(one.prompts) for one in made.sets] == [450, 100, 310]
    assert {kind: len(texts(made, kind)) for kind in ("harmful", "lookalike", "benign")} == {
        "harmful": 610,
        "lookalike": 250,
        "benign": 0,
    }
    assert not any("release" in line for line in made.notes)
    assert "  3 left out, there already" in made.notes
