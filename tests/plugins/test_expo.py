from __future__ import annotations

import pytest
import torch
from alignlab.plugins.expo.config import ExPOConfig
from alignlab.plugins.expo.sampler import ExPOSampler, between
from sampling_parts import PROMPTS, same, sample, sampling_parts
from small import gpt2, llama

from alignlab import registry
from alignlab.config import preset_values
from alignlab.errors import ModelError
from alignlab.models.policy import Policy
from alignlab.numerics.noise import Noise


def sampler(weight: float, temperature: float = 1.0) -> ExPOSampler:
    given = sampling_parts(Policy(gpt2(1)), reference=Policy(gpt2(0)), temperature=temperature)
    return ExPOSampler(ExPOConfig(aligned_weight=weight), given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", [gpt2, llama])
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_ends_have_the_weights_of_either_policy_to_the_bit(make: type, weight: float, dtype: torch.dtype) -> None:
    start, end = Policy(make(0, dtype)), Policy(make(1, dtype))
    made, expected = between(start, end, weight).state_dict(), (start, end)[int(weight)].state_dict()
    assert made.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in made.items())


@pytest.mark.parametrize("weight", [-0.5, 0.3, 0.5, 1.3, 2.0])
def test_every_weight_lies_on_the_line(weight: float) -> None:
    start, end = Policy(gpt2(0)), Policy(gpt2(1))
    made = dict(between(start, end, weight).named_parameters())
    for (name, first), last in zip(start.named_parameters(), end.parameters(), strict=True):
        for mine, a, b in zip(made[name].flatten()[:5], first.flatten()[:5], last.flatten()[:5], strict=True):
            assert float(mine) == pytest.approx(float(a) + weight * (float(b) - float(a)), abs=1e-12)


def test_neither_policy_is_touched_and_tied_weights_stay_tied() -> None:
    start, end = Policy(gpt2(0)), Policy(gpt2(1))
    before = [{name: value.clone() for name, value in each.state_dict().items()} for each in (start, end)]
    made = between(start, end, 1.3)
    for each, kept in zip((start, end), before, strict=True):
        assert all(torch.equal(value, kept[name]) for name, value in each.state_dict().items())
    assert made.model.get_output_embeddings().weight is made.model.get_input_embeddings().weight
    assert made.model.get_input_embeddings().weight is not end.model.get_input_embeddings().weight


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_ends_sample_what_either_policy_samples(weight: float) -> None:
    alone = sampling_parts(Policy(gpt2(int(weight))))
    assert same(sample(sampler(weight)), alone.engine.sample(PROMPTS, Noise(3, torch.arange(4))))


def test_samples_come_from_the_mixed_weights() -> None:
    mixed = sampler(1.3)
    rollouts, own = sample(mixed), between(Policy(gpt2(0)), Policy(gpt2(1)), 1.3)
    with torch.no_grad():
        logps = own(rollouts.sequences).logps
    torch.testing.assert_close(logps, rollouts.logps, rtol=0, atol=1e-5)
    greedy = sampler(1.3, temperature=0.0)
    best = greedy.completion_logits(sample(greedy).sequences).argmax(-1)
    assert best.tolist() == [token for reply in sample(greedy).completions() for token in reply]


@pytest.mark.parametrize("other", [gpt2(0, n_embd=8), gpt2(0, n_layer=2), llama(0)])
def test_policies_of_different_shapes_are_refused(other: torch.nn.Module) -> None:
    with pytest.raises(ModelError, match="is not the same parameter in both policies"):
        between(Policy(gpt2(0)), Policy(other), 0.5)


def test_interpolation_is_a_preset_of_the_same_method() -> None:
    assert registry.presets()["weight_interpolation"] == "expo"
    assert 0 < preset_values("weight_interpolation")["aligned_weight"] < 1 < preset_values("expo")["aligned_weight"]
    assert preset_values("weight_interpolation")["policy"] == preset_values("expo")["policy"]
