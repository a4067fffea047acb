"""Decoding settings, one step of sampling, and the loop around a scripted model."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from alignlab.errors import ConfigError
from alignlab.numerics.noise import Noise
from alignlab.rollout import decode as loop
from alignlab.rollout.decode import decode, next_tokens, survivors, truncate
from alignlab.rollout.llama_engine import _causal
from alignlab.rollout.prompts import lay_out
from alignlab.rollout.sampling import Sampling, check_training_sampling

ROW = torch.tensor([[0.5, 0.2, 0.2, 0.08, 0.02]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("key", "value"),
    [("temperature", -0.1), ("top_p", 0.0), ("top_p", 1.1), ("top_k", -1), ("max_new_tokens", 0)],
)
def test_settings_out_of_range(key, value):
    with pytest.raises(ConfigError, match=rf"sampling\.{key} must lie in .*, got {value}"):
        Sampling(**{key: value})


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("temperature", 0.7, "another distribution"),
        ("temperature", 0.0, "another distribution"),
        ("top_p", 0.9, "shift by the kept mass"),
        ("top_k", 5, "shift by the kept mass"),
    ],
)
def test_settings_that_bias_training(key, value, why):
    with pytest.raises(ConfigError, match=rf"sampling\.{key}={value} cannot be used for training: .*{why}"):
        check_training_sampling(Sampling(**{key: value}))


def test_the_plain_distribution_is_fine_for_training():
    check_training_sampling(Sampling(max_new_tokens=7))


def test_settings_need_no_torch():
    """They are part of the configuration, which must load fast."""
    code = "import sys, alignlab.rollout.sampling; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("top_k", "top_p", "kept"),
    [
        (1, 1.0, [0]),
        (2, 1.0, [0, 1]),  # of two equally likely tokens the lower id
        (0, 0.499, [0]),
        (0, 0.501, [0, 1]),
        (0, 0.899, [0, 1, 2]),
        (0, 1e-9, [0]),
        (3, 0.7, [0, 1]),  # top_p counts shares of what top_k left: 0.5 / 0.9, 0.7 / 0.9
        (9, 1.0, [0, 1, 2, 3, 4]),
    ],
)
def test_truncation(top_k, top_p, kept):
    expected = torch.zeros_like(ROW)
    expected[0, kept] = ROW[0, kept] / ROW[0, kept].sum()
    permutation = torch.tensor([3, 1, 0, 2, 4])
    assert torch.allclose(truncate(ROW, top_k=top_k, top_p=top_p), expected, atol=1e-15)
    if kept != [0, 1]:  # elsewhere no tie is cut, so that the order of ids is irrelevant
        shuffled = truncate(ROW[:, permutation], top_k=top_k, top_p=top_p)
        assert torch.allclose(shuffled, expected[:, permutation], atol=1e-15)


def test_truncated_logps_are_those_of_the_renormalised_distribution():
    u = torch.tensor([0.2, 0.9], dtype=torch.float64)
    ids, logps = next_tokens(ROW.log().expand(2, -1), Sampling(top_k=2), u)
    assert ids.tolist() == [0, 1]
    assert torch.allclose(logps, torch.tensor([5 / 7, 2 / 7], dtype=torch.float64).log())


def test_temperature_in_closed_form():
    """At temperature 1/2 probabilities are squared and renormalised."""
    u = torch.tensor([0.99], dtype=torch.float64)
    ids, logps = next_tokens(ROW.log(), Sampling(temperature=0.5), u)
    squared = ROW**2 / (ROW**2).sum()
    assert ids.tolist() == [3]  # cumulative 0.7485, 0.8683, 0.9880, 0.9993: 0.99 lies in the fourth
    assert torch.allclose(logps, squared[0, ids].log())


def test_greedy_logps_are_at_temperature_one_and_half_precision_is_raised():
    logits = torch.tensor([[1.0, 3.0, 2.0]], dtype=torch.bfloat16)
    ids, logps = next_tokens(logits, Sampling(temperature=0), torch.tensor([0.5]))
    assert ids.tolist() == [1]
    assert logps.dtype == torch.float32
    assert torch.allclose(logps, logits.float().log_softmax(-1)[:, 1])


def test_impossible_tokens_are_never_drawn():
    logits = torch.full((1000, 9), -torch.inf)
    logits[:, [2, 5]] = 0.0
    ids, logps = next_tokens(logits, Sampling(), Noise(0, torch.arange(1000)).uniform(0))
    assert set(ids.tolist()) == {2, 5}
    assert torch.allclose(logps, torch.full((1000,), 0.5).log())


class Scripted:
    """A Decoder that makes row r say `script[r][t]` at step t, and records what it is asked for."""

    def __init__(self, script: list[list[int]]) -> None:
        self.script, self.t, self.kept, self.fed = torch.tensor(script), 0, [], []
        self.rows = torch.arange(len(script))

    def _logits(self) -> torch.Tensor:
        return torch.nn.functional.one_hot(self.script[self.rows, self.t], 10).float() * 200

    def start(self, prompts):
        return self._logits()

    def step(self, ids):
        self.fed.append(ids.tolist())
        self.t += 1
        return self._logits()

    def keep(self, rows):
        self.kept.append(rows.tolist())
        self.rows = self.rows[rows]


def run(script: list[list[int]], prompts: list[list[int]], ends: tuple[int, ...] = (9,), pad_id: int = 9):
    decoder = Scripted(script)
    settings = Sampling(max_new_tokens=len(script[0]))
    noise = Noise(0, torch.arange(len(prompts)))
    return decode(decoder, lay_out(prompts, pad_id), noise, settings, ends, pad_id), decoder


def test_loop_by_hand(monkeypatch):
    """Row 0 ends at once, row 3 second, row 1 never, row 2 with its last token; what follows an end is lost."""
    monkeypatch.setattr(loop, "DROP_AT", 0.5)
    script = [[9, 1, 1, 1], [1, 2, 3, 4], [5, 6, 7, 9], [8, 9, 9, 1]]
    rollouts, decoder = run(script, [[1], [2, 2], [3], [9, 9, 9]])
    assert rollouts.completions() == [[9], [1, 2, 3, 4], [5, 6, 7, 9], [8, 9]]
    assert rollouts.ended.tolist() == [True, False, True, True]
    assert rollouts.sequences.ids.tolist() == [
        [1, 9, 9, 9, 9, 9],
        [2, 2, 1, 2, 3, 4],
        [3, 5, 6, 7, 9, 9],
        [9, 9, 9, 8, 9, 9],
    ]
    assert rollouts.sequences.attention.sum(-1).tolist() == [2, 6, 5, 5]
    assert rollouts.sequences.completion.long().tolist() == [
        [0, 1, 0, 0, 0, 0],
        [0, 0, 1, 1, 1, 1],
        [0, 1, 1, 1, 1, 0],
        [0, 0, 0, 1, 1, 0],
    ]
    assert decoder.kept == [[2, 1]]  # half of four rows left: row 2 moves into the gap of row 0
    assert decoder.fed == [[9, 1, 5, 8], [6, 2], [7, 3]]
    assert rollouts.rows == 4
    assert rollouts.select(torch.tensor([2])).completions() == [[5, 6, 7, 9]]


def test_loop_stops_when_all_have_ended():
    rollouts, decoder = run([[9, 1, 1, 1], [1, 9, 1, 1]], [[1], [2]])
    assert decoder.t == 1
    assert rollouts.sequences.ids.shape == (2, 3)


def test_no_end_tokens_at_all():
    rollouts, _ = run([[9, 1], [1, 9]], [[1], [2]], ends=())
    assert rollouts.completions() == [[9, 1], [1, 9]]
    assert rollouts.ended.tolist() == [False, False]


def test_survivors_move_as_little_as_possible():
    for bits in range(1, 256):
        finished = torch.tensor([not bits >> row & 1 for row in range(8)])
        left = int((~finished).sum())
        rows = survivors(finished, left)
        assert sorted(rows.tolist()) == (~finished).nonzero().flatten().tolist()
        assert all(rows[i] == i for i in range(left) if not finished[i])


def test_layout_keeps_the_order_of_first_appearance():
    laid = lay_out([[5], [1, 2, 3], [5], [4, 4]], pad_id=0)
    assert laid.ids.tolist() == [[0, 0, 5], [1, 2, 3], [0, 4, 4]]
    assert laid.attention.long().tolist() == [[0, 0, 1], [1, 1, 1], [0, 1, 1]]
    assert laid.source.tolist() == [0, 1, 0, 2]
    assert laid.repeated
    assert not lay_out([[1], [2]], 0).repeated


def test_padding_looks_at_itself_and_tokens_at_earlier_tokens():
    """A row of the mask that allows nothing is NaN in some attention kernels and zero in others."""
    real = torch.tensor([[False, True, True], [True, True, True]])
    assert _causal(real).long().tolist() == [
        [[[1, 0, 0], [0, 1, 0], [0, 1, 1]]],
        [[[1, 0, 0], [1, 1, 0], [1, 1, 1]]],
    ]
