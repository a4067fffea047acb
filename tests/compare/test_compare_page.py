"""The page as a file: what it holds, what it leaves out, and that no text can leave its place."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser
from typing import Any

import pytest
from contents import HOSTILE, comparison, hostile

from alignlab.compare.page import SCRIPTS, digest, embedded, families, page, sections

PARTS = (
    "leaderboard",
    "effects",
    "seeds",
    "frontier",
    "wins",
    "conditions",
    "posture",
    "strata",
    "tuning",
    "costs",
    "examples",
    "caveats",
    "ran",
    "again",
)

SINKS = (
    *("innerHTML", "outerHTML", "insertAdjacentHTML", r"document\.write", r"\beval\b", "new Function", r"fetch\("),
    r"https?:(?!//www\.w3\.org/2000/svg)",
)
"""What could turn text into elements or code, or reach a network."""


class Reader(HTMLParser):
    """Elements with their attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: str | None = None
        self.raw: list[tuple[str, dict[str, str | None], str]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag if tag in ("script", "style") else None
        if self.inside:
            self.raw.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self.inside = None

    def handle_data(self, data: str) -> None:
        if self.inside:
            tag, attributes, text = self.raw[-1]
            self.raw[-1] = (tag, attributes, text + data)
        else:
            self.words.append(data)


@pytest.fixture(scope="module")
def written() -> str:
    return page(comparison())


@pytest.fixture(scope="module")
def attacked() -> str:
    return page(hostile())


def test_every_part_is_there(written: str) -> None:
    ids = [attributes.get("id") for _, attributes in Reader(written).elements]
    assert set(PARTS) <= set(ids)
    assert len([name for name in ids if name]) == len({name for name in ids if name})
    links = {
        attributes["href"][1:] for tag, attributes in Reader(written).elements if tag == "a" and attributes.get("href")
    }
    assert links <= set(ids), "a link leads nowhere"


def test_policy_admits_exactly_what_stands_in_the_file(written: str) -> None:
    reader = Reader(written)
    [policy] = [a["content"] for tag, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    raw = {(tag, attributes.get("type")): text for tag, attributes, text in reader.raw}
    assert f"script-src '{digest(raw['script', None])}'" in policy
    assert f"style-src '{digest(raw['style', None])}'" in policy
    assert set(raw) == {("script", None), ("style", None), ("script", "application/json")}


@pytest.mark.parametrize("text", ["written", "attacked"])
def test_nothing_is_fetched_and_no_attribute_runs(text: str, request: pytest.FixtureRequest) -> None:
    reader = Reader(request.getfixturevalue(text))
    assert not {tag for tag, _ in reader.elements} & {
        "img",
        "iframe",
        "link",
        "object",
        "embed",
        "base",
        "form",
        "video",
    }
    for tag, attributes in reader.elements:
        assert not {name for name in attributes if name.startswith("on") or name in ("src", "srcdoc", "style")}, tag
        assert (attributes.get("href") or "#").startswith("#")
        assert attributes.get("http-equiv") in (None, "Content-Security-Policy")


def test_data_survive_as_they_were(attacked: str) -> None:
    [data] = [text for _, attributes, text in Reader(attacked).raw if attributes.get("type") == "application/json"]
    assert not set(data) & set("<>&\u2028\u2029")
    found = json.loads(data)
    replies = [each["replies"][0]["text"] for each in found["examples"]]
    assert replies == [f"viewer saw {bad}".replace("\ud800", "\ufffd") for bad in HOSTILE]
    attacked.encode("utf-8")


def test_leaderboard_reads_without_scripts(written: str) -> None:
    words = " ".join(Reader(written).words)
    for row in comparison()["rows"]:
        assert row["label"] in words
    row = next(row for row in comparison()["rows"] if row["id"] == "ppo-0.1")
    assert f"{row['metrics']['gold']['mean']:.2f}" in words
    assert "SFT, the start" in words
    assert "document.title" in words, "the reason of a failed run is shown as text"


def test_start_has_one_row_only() -> None:
    content = comparison(betas=(0.1,), examples=1)
    start = {"id": "sft", "label": "where all began", "control": True, "metrics": {"gold": {"mean": 1.2}}}
    words = " ".join(Reader(page({**content, "rows": [*content["rows"], start]})).words)
    assert "where all began" in words
    assert "SFT, the start" not in words


def test_intervals_of_shares_stay_shares() -> None:
    wide = {"mean": 0.06, "low": -0.73, "high": 1.4}
    row = {"id": "a", "metrics": {"breach": wide, "youden": {**wide, "low": -2.0}, "gold": {**wide, "high": 7.0}}}
    text = page({"rows": [row]})
    words = " ".join(Reader(text).words)
    assert "0.0 to 100.0" in words
    assert "−100.0 to 100.0" in words
    assert "−0.73 to 7.00" in words, "a score is no share"
    assert row["metrics"]["breach"] == wide, "the caller's content stays as it was"


def test_first_screen_answers_and_evidence_stands_before_caveats(written: str) -> None:
    answer = comparison()["answer"].split(";")[0]
    places = [written.index(part) for part in (answer, 'id="leaderboard"', 'id="effects"', 'id="caveats"')]
    assert places == sorted(places)
    assert "Why n is 5 and not the number of prompts" in written


def test_withheld_texts_are_not_in_the_file() -> None:
    content = comparison(betas=(0.1,), examples=40)
    withheld = [reply for each in content["examples"] for reply in each["replies"] if reply["withheld"]]
    assert withheld
    for each in content["examples"]:
        if any(reply["withheld"] for reply in each["replies"]):
            each["prompt"] = "assistant: secret ingredient"
    assert not {"secret recipe", "secret ingredient"} & set(re.findall("secret [a-z]+", page(content)))
    assert withheld[0]["text"] == "secret recipe", "the caller's content stays as it was"


@pytest.mark.parametrize("empty", [None, [], {}])
def test_any_part_may_be_absent(empty: Any) -> None:
    whole = comparison(betas=(0.1,), examples=2, seeds=2)
    for key in whole:
        text = page(
            {name: value for name, value in whole.items() if name != key} if empty == [] else {**whole, key: empty}
        )
        assert "</html>" in text, key
    for key in whole["rows"][0]:
        rows = [{name: empty if name == key else value for name, value in row.items()} for row in whole["rows"]]
        if key not in ("id", "label", "name", "method", "summary", "equation", "control", "family", "kl_known"):
            assert "</html>" in page({**whole, "rows": rows}), key
    assert not any(sections({}).values())
    assert "Comparison of methods" in page({})


def test_methods_of_one_family_share_a_colour_and_differ_in_shape() -> None:
    content = comparison(betas=(0.1, 0.3))
    marks = dict(zip([row["id"] for row in content["rows"]], families(content), strict=True))
    assert marks["ppo-0.1"] == marks["ppo-0.3"]
    assert marks["ppo-0.1"][0] == marks["grpo-0.1"][0]
    assert marks["ppo-0.1"][1] != marks["grpo-0.1"][1]
    assert marks["dpo-0.1"][0] != marks["ppo-0.1"][0]
    assert marks["control-refuse"][0] == -1
    assert len({marks[name] for name in marks if name.endswith("-0.1")}) == 12


def test_sixty_rows_are_small_and_quick() -> None:
    content = comparison(betas=(0.01, 0.03, 0.1, 0.3, 1.0), examples=200)
    assert len(content["rows"]) == 62
    page(content)
    start = time.process_time()
    text = page(content)
    assert time.process_time() - start < 1.0
    assert len(text.encode()) < 3e6


def test_embedded_json_cannot_end_its_element() -> None:
    text = embedded({"a": "</script><!--&\u2028\u2029"})
    assert text == '{"a":"\\u003c/script\\u003e\\u003c!--\\u0026\\u2028\\u2029"}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded(float("nan"))


def test_script_writes_text_and_nothing_else() -> None:
    from importlib.resources import files

    folder = files("alignlab.compare").joinpath("assets")
    for name in SCRIPTS:
        source = folder.joinpath(f"{name}.js").read_text("utf-8")
        assert not re.search("|".join(SINKS), source), name
        assert len(source.splitlines()) < 400
    assert sorted(f"{name}.js" for name in SCRIPTS) == sorted(
        each.name for each in folder.iterdir() if each.name.endswith(".js")
    )
