"""Batches: masks from lengths, padding that means nothing, slices that change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from alignlab.data.batch import DemonstrationBatch, LabelBatch, PairBatch, PromptBatch, Sequences, pad
from alignlab.data.schema import Prompt

ROWS = [([5, 6], [7, 0]), ([0], [0, 0, 0, 8]), ([1, 2, 3], [4])]


def test_masks_come_from_lengths_when_pad_is_also_a_token():
    batch = pad(ROWS, pad_id=0)
    assert batch.ids.tolist() == [[5, 6, 7, 0, 0], [0, 0, 0, 0, 8], [1, 2, 3, 4, 0]]
    assert batch.attention.long().tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]
    assert batch.completion.long().tolist() == [[0, 0, 1, 1, 0], [0, 1, 1, 1, 1], [0, 0, 0, 1, 0]]
    assert batch.lengths.tolist() == [2, 4, 1]
    assert batch.rows == 3
    assert batch.ids.dtype == torch.long
    assert batch.attention.dtype == batch.completion.dtype == torch.bool


def test_split_returns_the_rows_whatever_the_padding():
    for pad_id in (None, 0, 8, 9):
        assert pad(ROWS, pad_id).split() == ROWS


def test_positions_ignore_leading_padding():
    right = pad(ROWS, 9)
    left = Sequences(*(torch.cat([torch.zeros_like(f[:, :2]), f], 1) for f in right))
    assert torch.equal(left.positions[:, 2:][left.attention[:, 2:]], right.positions[right.attention])


def test_micro_slices_are_trimmed_and_complete():
    batch = pad(ROWS, 9)
    parts = list(batch.micro(2))
    assert [part.rows for part in parts] == [2, 1]
    assert parts[1].ids.tolist() == [[1, 2, 3, 4]]
    assert [row for part in parts for row in part.split()] == ROWS


def test_trim_keeps_left_padded_rows():
    batch = Sequences(*(f.flip(1) for f in pad(ROWS, 9)))
    assert torch.equal(batch.trim().ids, batch.ids)


def test_scatter_and_gather_are_inverse():
    batch = pad(ROWS, 0)
    values = [np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0, 6.0]), np.array([7.0])]
    grid = batch.scatter(values)
    assert grid.tolist() == [[0, 0, 1, 2, 0], [0, 3, 4, 5, 6], [0, 0, 0, 7, 0]]
    assert [row.tolist() for row in batch.gather(grid)] == [[1, 2], [3, 4, 5, 6], [7]]


def test_pair_slices_keep_both_completions_together():
    rows = ROWS + [(prompt, [*reply, 3]) for prompt, reply in ROWS]
    sequences = pad(rows, 0)
    reference = sequences.ids.float()
    batch = PairBatch(torch.tensor([4, 2, 9]), sequences, reference, torch.tensor([0.1, 0.2, 0.3]), torch.ones(3))
    parts = list(batch.micro(2))
    assert [len(part) for part in parts] == [2, 1]
    assert parts[0].sequences.split() == [rows[0], rows[1], rows[3], rows[4]]
    assert parts[1].sequences.split() == [rows[2], rows[5]]
    assert parts[1].index.tolist() == [9]
    assert parts[1].margin.tolist() == pytest.approx([0.3])
    for part in parts:
        assert torch.equal(part.reference, part.sequences.ids.float())


def test_label_and_demonstration_slices():
    sequences = pad(ROWS, 0)
    labels = LabelBatch(torch.arange(3), sequences, torch.tensor([True, False, True]), sequences.ids.float())
    last = list(labels.micro(2))[1]
    assert last.desirable.tolist() == [True]
    assert last.reference.shape == last.sequences.ids.shape == (1, 4)
    parts = list(DemonstrationBatch(torch.arange(3), sequences).micro(1))
    assert [part.sequences.split()[0] for part in parts] == ROWS


def test_every_batch_moves_and_counts_its_rows():
    sequences = pad(ROWS, 0)
    prompt = Prompt(id="p", text="x")
    batches = [
        PairBatch(torch.arange(1), pad(ROWS[:2], 0)),
        LabelBatch(torch.arange(3), sequences, torch.ones(3).bool()),
        DemonstrationBatch(torch.arange(3), sequences),
        PromptBatch(torch.arange(2), [[1], [2, 3]], [prompt, prompt]),
    ]
    for batch, rows in zip(batches, (1, 3, 3, 2), strict=True):
        moved = batch.to("meta")
        assert len(moved) == rows
        assert moved.index.device.type == "meta"
        if hasattr(moved, "sequences"):
            assert all(field.device.type == "meta" for field in moved.sequences)


def test_padding_amount_never_changes_a_models_logps():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=10, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2
    )
    model = LlamaForCausalLM(config).double().eval()

    def logps(batch: Sequences) -> list[float]:
        logits = model(
            batch.ids, attention_mask=batch.attention.long(), position_ids=batch.positions
        ).logits.log_softmax(-1)
        token = logits[:, :-1].gather(-1, batch.ids[:, 1:, None])[..., 0]
        return (token * batch.completion[:, 1:]).sum(-1).tolist()

    whole = pad(ROWS, 0)
    wide = Sequences(*(torch.cat([f, torch.zeros_like(f)], 1) for f in pad(ROWS, 4)))
    cut = [value for part in whole.micro(1) for value in logps(part)]
    with torch.no_grad():
        assert logps(wide) == pytest.approx(logps(whole), abs=1e-12)
        assert cut == pytest.approx(logps(whole), abs=1e-12)
