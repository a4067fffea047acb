"""The endpoint annotator against a server on this machine: labels, retries, answers that are none, resuming."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint_server import Reply, Server, said
from support import TINY

from alignlab.annotators.endpoint import EndpointAnnotator
from alignlab.annotators.feedback import Comparison, Draft, Revision
from alignlab.annotators.kinds import EndpointConfig
from alignlab.compose import composed
from alignlab.config import typed
from alignlab.data.schema import Prompt
from alignlab.endpoint.client import Answers, shares
from alignlab.errors import ConfigError, ModelError
from alignlab.stages.graph import Graph

KEY = "a-key-that-must-not-leak"
PROMPT = Prompt(id="p", text="say {first}")


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIGNLAB_API_KEY", KEY)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def asks(server: Server, folder: Path, **given: Any) -> tuple[EndpointAnnotator, list[float]]:
    waits: list[float] = []
    settings = {"base_url": server.url, "model": "m", "principles": ["be good"], "parallel": 1, **given}
    return EndpointAnnotator(EndpointConfig(**settings), folder=folder, sleep=waits.append), waits


def comparisons(count: int) -> list[Comparison]:
    return [Comparison(PROMPT, f"reply number {i}", "{second} two", (True, True), 0, i) for i in range(count)]


def test_a_question_is_one_turn_with_the_key_in_its_header(server: Server, tmp_path: Path) -> None:
    server.reply = lambda body: (200, said("A", {"A": math.log(0.3), " B": math.log(0.1), "C": math.log(0.6)}))
    annotator, _ = asks(server, tmp_path)
    assert annotator.judge(comparisons(1)) == [pytest.approx(0.75)]
    ((path, authorization, body),) = server.seen
    assert (path, authorization) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert (body["model"], body["temperature"], body["logprobs"]) == ("m", 0.0, True)
    (turn,) = body["messages"]
    assert turn["role"] == "user"
    for part in ("say {first}", "reply number 0", "{second} two", "Principle: be good", "Reply A:", "Answer A or B"):
        assert part in turn["content"]


@pytest.mark.parametrize(
    ("text", "top", "label"),
    [
        ("A", {}, 1.0),
        (" B.", {}, 0.0),
        ("**A**", {}, 1.0),
        ("B, since it is shorter", {}, 0.0),
        ("Neither", {}, None),
        ("", {}, None),
        ("Both A and B", {}, None),
        ("A", {"A": -0.5, "B": -0.5}, 0.5),
        ("B", {"Sure": -0.1}, 0.0),
    ],
)
def test_what_counts_as_an_answer(text: str, top: dict[str, float], label: float | None) -> None:
    found = shares({"text": text, "top": list(top.items())}, ["A", "B"])
    assert (found[0] if found else None) == label


@pytest.mark.parametrize(
    "broken", [(500, b"down"), (429, b""), (200, b"{not json"), (200, {"choices": []}), (200, [1]), (200, said(3))],  # type: ignore[arg-type]
)  # fmt: skip
def test_what_may_pass_is_asked_again_after_waits_that_double(server: Server, tmp_path: Path, broken: Reply) -> None:
    replies = iter([broken, broken, (200, said("B"))])
    server.reply = lambda body: next(replies)
    annotator, waits = asks(server, tmp_path, backoff=0.5)
    assert annotator.judge(comparisons(1)) == [0.0]
    assert waits == [0.5, 1.0]


def test_the_server_may_ask_for_a_longer_wait(server: Server, tmp_path: Path) -> None:
    replies = iter([(429, b"", {"Retry-After": "7"}), (503, b"", {"Retry-After": "soon"}), (200, said("A"))])
    server.reply = lambda body: next(replies)
    annotator, waits = asks(server, tmp_path)
    annotator.judge(comparisons(1))
    assert waits == [7.0, 2.0]


def test_labelling_stops_after_the_last_attempt_and_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.reply = lambda body: (200, said("A")) if "number 0" in json.dumps(body) else (500, b"")
    annotator, waits = asks(server, tmp_path, attempts=3)
    with pytest.raises(ModelError, match="no usable answer in 3 attempts; the last: HTTP 500") as failure:
        annotator.judge(comparisons(3))
    assert len(waits) == 2
    assert "answers that came are kept" in failure.value.remedy
    with (tmp_path / "answers.jsonl").open("ab") as file:
        file.write(b'\n{"question": "torn')  # as by a power cut
    server.seen.clear()
    server.reply = lambda body: (200, said("B"))
    again, _ = asks(server, tmp_path)
    assert again.judge(comparisons(3)) == [1.0, 0.0, 0.0]
    assert len(server.seen) == 2
    third, _ = asks(server, tmp_path)
    server.http.shutdown()
    assert third.judge(comparisons(3)) == [1.0, 0.0, 0.0]


def test_a_text_that_is_no_answer_leaves_the_pair_out_and_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    server.reply = lambda body: (200, said("I would rather not say"))
    annotator, waits = asks(server, tmp_path)
    assert annotator.judge(comparisons(1)) == annotator.judge(comparisons(1)) == [None]
    assert (len(server.seen), waits) == (1, [])


@pytest.mark.parametrize("code", [400, 401, 404])
def test_a_refusal_is_final_and_does_not_show_the_key(server: Server, tmp_path: Path, code: int) -> None:
    server.reply = lambda body: (code, f"no such key {KEY}".encode())
    annotator, waits = asks(server, tmp_path)
    with pytest.raises(ModelError, match=f"HTTP {code} no such key …") as failure:
        annotator.judge(comparisons(1))
    assert KEY not in str(failure.value)
    assert waits == []


def test_the_key_does_not_follow_a_redirect(server: Server, tmp_path: Path) -> None:
    server.reply = lambda body: (302, b"", {"Location": server.url + "/elsewhere"})
    annotator, _ = asks(server, tmp_path)
    with pytest.raises(ModelError, match="HTTP 302"):
        annotator.judge(comparisons(1))
    assert [path for path, _, _ in server.seen] == ["/v1/chat/completions"]


def test_nobody_there(server: Server, tmp_path: Path) -> None:
    annotator, waits = asks(server, tmp_path, attempts=2)
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(ModelError, match="no usable answer in 2 attempts"):
        annotator.judge(comparisons(1))
    assert waits == [1.0]


def test_without_a_key_nothing_starts(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALIGNLAB_API_KEY")
    with pytest.raises(ConfigError, match="the environment variable ALIGNLAB_API_KEY is not set"):
        asks(server, tmp_path)
    monkeypatch.setenv("OTHER", KEY)
    asks(server, tmp_path, key_variable="OTHER")
    assert not server.seen


def test_several_questions_under_way_keep_their_order(server: Server, tmp_path: Path) -> None:
    server.reply = lambda body: (200, said("AB"[int(json.dumps(body).split("number ")[1][0]) % 2]))
    annotator, _ = asks(server, tmp_path, parallel=8)
    assert annotator.judge(comparisons(10)) == [1.0, 0.0] * 5
    assert len(Answers(tmp_path / "answers.jsonl")._known) == 10


def test_criticism_and_revision(server: Server, tmp_path: Path) -> None:
    server.reply = lambda body: (200, said("better" if "Criticism: too short" in json.dumps(body) else "too short"))
    annotator, _ = asks(server, tmp_path)
    assert annotator.revise([Draft(PROMPT, "hm", 0, 1)]) == [Revision("too short", "better")]
    server.reply = lambda body: (200, said(" "))
    assert annotator.revise([Draft(PROMPT, "other", 0, 1)]) == [None]


def test_how_it_is_reached_is_no_part_of_the_address() -> None:
    base = EndpointConfig(base_url="http://x/v1", model="m", principles=["p"])
    other = EndpointConfig(
        base_url="http://x/v1", model="m", principles=["p"], attempts=9, key_variable="K", parallel=1
    )
    assert base.address() == other.address()
    assert base.address() != EndpointConfig(base_url="http://x/v1", model="n", principles=["p"]).address()


def test_a_stage_that_was_interrupted_asks_only_for_what_is_missing(server: Server, tmp_path: Path) -> None:
    given = ("annotator=endpoint", f"annotator.base_url={server.url}", "annotator.model=m", "annotator.attempts=1")
    small = ("data.pairs=12", "data.held_out_pairs=6", "annotator.parallel=1", f"store={tmp_path}")
    config = typed(composed([*TINY, *given, *small]))
    server.reply = lambda body: (200, said("A")) if len(server.seen) <= 10 else (503, b"")
    with pytest.raises(ModelError, match="HTTP 503"):
        _ = Graph(config, quiet=True).preferences
    server.seen.clear()
    server.reply = lambda body: (200, said("A"))
    stage = Graph(config, quiet=True).preferences
    assert len(server.seen) == 2 * (stage.info["labels"]) - 10
    assert stage.info["health"]["position_bias"] == pytest.approx(0.5)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
