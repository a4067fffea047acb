"""Language models as judges: a local one by log-probabilities, one behind an endpoint by what it says."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from endpoint_server import Server, said

from alignlab.data.schema import Message, Prompt, Verdict
from alignlab.errors import ConfigError, ModelError
from alignlab.judges.asked import EndpointJudge, model_judge
from alignlab.judges.kinds import EndpointConfig, ModelConfig
from alignlab.judges.wording import question
from alignlab.models.config import TinyModel
from alignlab.models.load import new_model
from alignlab.models.policy import Policy
from alignlab.worlds.desk.tokenizer import build

KEY = "a-key-that-must-not-leak"
PROMPT = Prompt(id="p", messages=(Message("user", "how {reply} works"),))
WORDS = {"answers": ["sorry", "thanks", "sure"], "question": "explain {prompt} it has {reply} {one} {two} {three}"}
TOKENIZER = build("small")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("ALIGNLAB_API_KEY", KEY)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def stored(folder: Path, positions: int = 64) -> Policy:
    shape = TinyModel(hidden=16, layers=1, heads=2, intermediate=32, max_positions=positions)
    policy = Policy(new_model(shape, TOKENIZER, 5)).eval()
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.mul_(8)
    policy.save(folder, TOKENIZER)
    return policy


@torch.no_grad()
def likeliest(policy: Policy, text: str) -> str:
    """By hand, one token an answer."""
    ids = TOKENIZER(f"<bos> <user> {text} <assistant>", add_special_tokens=False)["input_ids"]
    logits = policy.model(torch.tensor([ids])).logits[0, -1]
    return max(WORDS["answers"], key=lambda word: float(logits[TOKENIZER.convert_tokens_to_ids(word)]))


def test_a_local_model_gives_its_likeliest_answer(tmp_path: Path) -> None:
    policy, config = stored(tmp_path), ModelConfig(path=str(tmp_path), **WORDS)
    judge = model_judge(config, device="cpu")
    known = [word for word in TOKENIZER.get_vocab() if word.isalpha()]
    texts = [" ".join(known[at : at + 3]) for at in range(0, 60, 3)]
    prompts = [Prompt(id=str(at), text="rivers") for at in range(len(texts))]
    meaning = dict(zip(WORDS["answers"], Verdict, strict=True))
    expected = [meaning[likeliest(policy, question(config, *row))] for row in zip(prompts, texts, strict=True)]
    assert judge(prompts, texts) == expected
    assert len({*expected}) > 1


def test_a_question_longer_than_the_context_is_not_judged(tmp_path: Path) -> None:
    stored(tmp_path, positions=32)
    judge = model_judge(ModelConfig(path=str(tmp_path), **WORDS), device="cpu")
    short, long = judge([PROMPT, PROMPT], ["red", "red " * 40])
    assert isinstance(short, Verdict)
    assert long is None
    assert judge([PROMPT], ["red " * 40]) == [None]


def test_answers_must_be_in_the_vocabulary(tmp_path: Path) -> None:
    stored(tmp_path)
    with pytest.raises(ModelError, match=r"judge\.answers=\['A', 'B', 'C'\] are no three words"):
        model_judge(ModelConfig(path=str(tmp_path)), device="cpu")([PROMPT], ["red"])


def test_the_content_of_a_directory_is_its_address(tmp_path: Path) -> None:
    stored(tmp_path / "one")
    stored(tmp_path / "two")
    one, two = (ModelConfig(path=str(tmp_path / name), **WORDS) for name in ("one", "two"))
    assert one.address() == two.address() != ModelConfig(path=str(tmp_path / "one")).address()
    with pytest.raises(ModelError, match=r"judge\.path='\./nowhere': there is no such directory"):
        ModelConfig(path="./nowhere").check(None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"answers": ["A", "B"]}, "are not three different answers"),
        ({"answers": ["A", "B", "B "]}, "are not three different answers"),
        ({"question": "is it?"}, "judge.question shows no reply"),
        ({"question": "{reply} {principle}"}, r"judge.question has \{principle\}, which stands for nothing"),
    ],
)
def test_questions_that_cannot_be_asked(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig(path="x", **given)


def asks(server: Server, folder: Path, **given: Any) -> EndpointJudge:
    settings = {"base_url": server.url, "model": "m", "parallel": 1, **given}
    return EndpointJudge(EndpointConfig(**settings), folder=folder, sleep=lambda seconds: None)


def test_an_endpoint_is_asked_about_prompt_and_reply(server: Server, tmp_path: Path) -> None:
    server.reply = lambda body: (200, said("C", {"A": math.log(0.5), "B": math.log(0.3), "C": math.log(0.1)}))
    judge = asks(server, tmp_path)
    assert judge([PROMPT], ["with {prompt} braces"]) == [Verdict.REFUSED]
    ((_, authorization, body),) = server.seen
    assert authorization == f"Bearer {KEY}"
    assert body["logprobs"] is True
    (turn,) = body["messages"]
    for part in ("how {reply} works", "with {prompt} braces", "Answer A, B or C"):
        assert part in turn["content"]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("A", Verdict.REFUSED), ("B.", Verdict.PARTIAL), ("C: it did", Verdict.COMPLIED), ("neither", None), ("", None)],
)
def test_what_an_endpoint_says(text: str, verdict: Verdict | None, server: Server, tmp_path: Path) -> None:
    server.reply = lambda body: (200, said(text))
    assert asks(server, tmp_path)([PROMPT], ["red"]) == [verdict]


def test_answers_are_kept_and_what_failed_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.reply = lambda body: (200, said("A")) if "first" in json.dumps(body) else (503, b"")
    prompts, texts = [PROMPT] * 2, ["first one", "second one"]
    with pytest.raises(ModelError, match="no usable answer in 2 attempts; the last: HTTP 503"):
        asks(server, tmp_path / "new", attempts=2)(prompts, texts)
    server.seen.clear()
    server.reply = lambda body: (200, said("C"))
    assert asks(server, tmp_path / "new")(prompts, texts) == [Verdict.REFUSED, Verdict.COMPLIED]
    assert len(server.seen) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_an_endpoint_without_a_key_or_an_address(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    config = EndpointConfig(base_url=server.url, model="m")
    config.check(None)
    monkeypatch.delenv("ALIGNLAB_API_KEY")
    with pytest.raises(ConfigError, match="judge=endpoint needs an API key"):
        config.check(None)
    with pytest.raises(ConfigError, match=r"judge\.base_url='host' is no HTTP address"):
        EndpointConfig(base_url="host", model="m")
    assert config.address() == EndpointConfig(base_url=server.url, model="m", attempts=9, parallel=1).address()
    assert config.address() != EndpointConfig(base_url=server.url, model="n").address()
