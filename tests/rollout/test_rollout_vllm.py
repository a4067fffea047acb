"""What is asked of vLLM and what is made of its answers, with a stand-in that records and replies."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import llama

from alignlab.errors import DataError, ModelError
from alignlab.numerics.noise import Noise
from alignlab.rollout.engine import build_engine
from alignlab.rollout.sampling import Sampling

REPLIES = {(1, 2): [5, 6, 9], (3,): [7, 7, 7, 7]}


@dataclass
class FakeLLM:
    """Records its construction, the weights it was told to reload, and requests."""

    options: dict[str, Any]
    reloads: list[torch.Tensor] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)

    def collective_rpc(self, method: str) -> None:
        assert method == "reload_weights"
        self.reloads.append(load_file(Path(self.options["model"]) / "model.safetensors")["model.norm.weight"])

    def generate(self, prompts: list[dict[str, list[int]]], sampling_params: list[Any], use_tqdm: bool) -> list[Any]:
        assert not use_tqdm
        self.requests.append((prompts, sampling_params))
        return [self._reply(REPLIES[tuple(prompt["prompt_token_ids"])]) for prompt in prompts]

    @staticmethod
    def _reply(ids: list[int]) -> Any:
        logprobs = [{token: SimpleNamespace(logprob=-token / 10 - t)} for t, token in enumerate(ids)]
        return SimpleNamespace(outputs=[SimpleNamespace(token_ids=tuple(ids), logprobs=logprobs)])


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("vllm")
    module.LLM = lambda **options: FakeLLM(options)
    module.SamplingParams = lambda **options: SimpleNamespace(**options)
    monkeypatch.setitem(sys.modules, "vllm", module)
    return module


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ModelError, match=r"needs the vllm package.*\n.*pip install vllm"):
        build_engine(llama(), Sampling(), [9], 0, kind="vllm")


def test_requests_and_answers(vllm):
    model = llama()
    sampling = Sampling(max_new_tokens=4, temperature=0.7, top_p=0.9)
    engine = build_engine(model, sampling, [9, 8], 0, kind="vllm")
    assert engine.reason == "vLLM engine, as configured"
    options = engine.engine.options
    assert options["skip_tokenizer_init"]
    assert options["max_model_len"] == 64
    assert options["dtype"] == "float32"
    assert options["logprobs_mode"] == "processed_logprobs"
    assert not options["enable_prefix_caching"]

    noise = Noise(5, torch.tensor([11, 4]))
    rollouts = engine.sample([[1, 2], [3]], noise)
    prompts, params = engine.engine.requests[0]
    assert prompts == [{"prompt_token_ids": [1, 2]}, {"prompt_token_ids": [3]}]
    assert [p.seed for p in params] == noise.seeds().tolist()
    assert vars(params[0]) | {"seed": None} == dict(
        n=1,
        temperature=0.7,
        top_p=0.9,
        top_k=-1,
        max_tokens=4,
        seed=None,
        stop_token_ids=[9, 8],
        ignore_eos=True,
        logprobs=0,
        detokenize=False,
    )
    assert rollouts.completions() == [[5, 6, 9], [7, 7, 7, 7]]
    assert rollouts.ended.tolist() == [True, False]
    assert rollouts.sequences.ids.tolist() == [[1, 2, 5, 6, 9], [3, 7, 7, 7, 7]]
    expected = [[0, 0, -0.5, -1.6, -2.9], [0, -0.7, -1.7, -2.7, -3.7]]
    assert torch.allclose(rollouts.logps, torch.tensor(expected))


def test_seed_of_a_row_does_not_depend_on_the_batch(vllm):
    engine = build_engine(llama(), Sampling(max_new_tokens=4), [9], 0, kind="vllm")
    engine.sample([[1, 2], [3]], Noise(5, torch.tensor([11, 4])))
    engine.sample([[3]], Noise(5, torch.tensor([4])))
    (_, both), (_, alone) = engine.engine.requests
    assert both[1].seed == alone[0].seed


def test_weights_follow_the_model(vllm):
    model = llama()
    engine = build_engine(model, Sampling(max_new_tokens=4), [9], 0, kind="vllm")
    engine.sample([[3]], Noise(0, torch.tensor([0])))
    with torch.no_grad():
        model.model.norm.weight.fill_(2.5)
    engine.sample([[3]], Noise(0, torch.tensor([0])))
    before, after = engine.engine.reloads
    assert (before == 1).all()
    assert (after == 2.5).all()


def test_prompts_are_checked_before_anything_is_sent(vllm):
    engine = build_engine(llama(), Sampling(max_new_tokens=4), [9], 0, kind="vllm")
    with pytest.raises(DataError, match="prompt 1 is empty"):
        engine.sample([[3], []], Noise(0, torch.tensor([0, 1])))
    with pytest.raises(ValueError, match="1 prompts but noise for 2 rows"):
        engine.sample([[3]], Noise(0, torch.tensor([0, 1])))
    assert engine.engine.requests == []
