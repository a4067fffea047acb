"""The data module: four views, references aligned with tokens, and a share for each process."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from alignlab.data.batch import DemonstrationBatch, LabelBatch, PairBatch, PromptBatch
from alignlab.data.module import PreferenceData, batches_once
from alignlab.data.schema import Completion, Demonstration, Label, Message, Pair, Prompt
from alignlab.data.tokens import Limits, tokenise
from alignlab.errors import DataError
from alignlab.method import Data
from alignlab.seeding import Seeds

WORDS = ["the", "cat", "and", "hat", "is", "red", "tap", "it", "on"]


def prompts(count):
    return [Prompt(id=str(i), messages=(Message("user", " ".join(WORDS[: 1 + i % 7])),)) for i in range(count)]


def text(i):
    return Completion(" ".join(WORDS[-1 - i % 5 :]))


@pytest.fixture
def views(build):
    tokenizer, limits = build(), Limits(100)
    asked = prompts(10)
    made = {
        Data.PAIRS: tokenise(
            Data.PAIRS,
            [Pair(p, text(i), text(i + 1), margin=None if i else 2.0) for i, p in enumerate(asked)],
            tokenizer,
            limits,
        ),
        Data.LABELS: tokenise(
            Data.LABELS, [Label(p, text(i), i % 3 == 0) for i, p in enumerate(asked)], tokenizer, limits
        ),
        Data.DEMONSTRATIONS: tokenise(
            Data.DEMONSTRATIONS, [Demonstration(p, text(i)) for i, p in enumerate(asked)], tokenizer, limits
        ),
        Data.PROMPTS: tokenise(Data.PROMPTS, asked, tokenizer, limits),
    }
    return {view: rows for view, (rows, _) in made.items()}


KINDS = {
    Data.PAIRS: PairBatch,
    Data.LABELS: LabelBatch,
    Data.DEMONSTRATIONS: DemonstrationBatch,
    Data.PROMPTS: PromptBatch,
}


@pytest.mark.parametrize("view", KINDS)
def test_every_view_gives_its_batches(views, view):
    rows = views[view]
    data = PreferenceData(view, rows, 4, seeds=Seeds(0), epochs=1, validation=rows)
    batches = list(data.train_dataloader())
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert all(type(batch) is KINDS[view] for batch in batches)
    assert sorted(torch.cat([batch.index for batch in batches]).tolist()) == list(range(10))
    ordered = torch.cat([batch.index for batch in data.val_dataloader()])
    assert ordered.tolist() == list(range(10))
    for batch in batches:
        for place, i in enumerate(batch.index.tolist()):
            if view is Data.PROMPTS:
                assert batch.prompts[place] == rows[i].prompt.tolist()
                assert batch.rows[place] is rows[i].source
                continue
            prompt, reply = batch.sequences.split()[place]
            assert prompt == rows[i].prompt.tolist()
            assert reply == (rows[i].chosen if view is Data.PAIRS else rows[i].completion).tolist()


def test_both_sides_of_a_pair_have_the_same_prompt(views):
    for batch in batches_once(Data.PAIRS, views[Data.PAIRS], 4):
        rows = batch.sequences.split()
        for place in range(len(batch)):
            assert rows[place][0] == rows[place + len(batch)][0]


def test_margins_are_nan_where_unknown_and_absent_columns_none(views):
    batch = next(iter(batches_once(Data.PAIRS, views[Data.PAIRS], 4)))
    assert batch.margin[0] == 2.0
    assert batch.margin[1:].isnan().all()
    assert batch.probability is None


@pytest.mark.parametrize("view", [Data.PAIRS, Data.LABELS])
def test_stored_references_come_back_on_their_tokens(views, view):
    rows, stored = views[view], []
    for batch in batches_once(view, rows, 3):
        # A value that names the row and the token, so that any misplacement shows.
        logps = batch.sequences.ids * 1.0 + 1000 * batch.sequences.attention.cumsum(-1)
        values = batch.sequences.gather(logps)
        stored.extend(zip(values[: len(batch)], values[len(batch) :], strict=True) if view is Data.PAIRS else values)
    data = PreferenceData(view, rows, 4, seeds=Seeds(1), epochs=2, reference=stored)
    for batch in data.train_dataloader():
        sequences = batch.sequences
        expected = (sequences.ids + 1000 * sequences.attention.cumsum(-1)) * sequences.completion
        assert torch.equal(batch.reference, expected.float())


def test_a_reference_of_other_rows_is_refused(views):
    with pytest.raises(DataError, match="3 reference log-probabilities for 10 pairs rows"):
        PreferenceData(Data.PAIRS, views[Data.PAIRS], 2, seeds=Seeds(0), epochs=1, reference=[(np.zeros(1),) * 2] * 3)


def test_processes_share_batches(views):
    data = PreferenceData(Data.PROMPTS, views[Data.PROMPTS], 4, seeds=Seeds(0), steps=5)
    whole = [batch.index.tolist() for batch in data.train_dataloader()]
    assert [len(index) for index in whole] == [4] * 5
    for rank in range(2):
        data.trainer = SimpleNamespace(global_rank=rank, world_size=2)
        shares = [batch.index.tolist() for batch in data.train_dataloader()]
        assert shares == [index[rank::2] for index in whole]


def test_no_validation_rows_means_no_validation(views):
    assert PreferenceData(Data.PROMPTS, views[Data.PROMPTS], 4, seeds=Seeds(0), steps=1).val_dataloader() == []
