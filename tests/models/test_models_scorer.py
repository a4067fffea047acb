"""Where a scorer reads, what its values have seen, and what survives the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small import SHAPE, VOCAB, cohere, gpt2, left_padded, llama, scorer, texts
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedModel,
)

from alignlab.data.batch import Sequences, pad
from alignlab.errors import DataError, ModelError
from alignlab.models.scorer import Scorer, new_scorer, stored_scorer
from alignlab.worlds.desk.tokenizer import build

END = 0
"""Both the end token and the padding id, which must not matter."""
ROWS = [([1, 2], [3, 4, END]), ([5], [6, END]), ([7, 8, 9], [1, 2, 3, 4])]


def edited(sequences: Sequences, row: int, column: int) -> Sequences:
    ids = sequences.ids.clone()
    ids[row, column] = (ids[row, column] + 1) % VOCAB
    return sequences._replace(ids=ids)


def by_hand(model: PreTrainedModel, sequences: Sequences) -> list[list[float]]:
    """Head output after each token, one unpadded row at a time, as a dot product."""
    out = []
    for prompt, reply in sequences.split():
        hidden = model.base_model(input_ids=torch.tensor([prompt + reply])).last_hidden_state[0]
        out.append([sum((h * model.score.weight[0]).tolist()) for h in hidden])
    return out


def test_score_is_the_head_at_the_true_last_token() -> None:
    judge, sequences = scorer(), pad(ROWS, END)
    expected = [values[-1] for values in by_hand(judge.model, sequences)]
    assert judge(sequences).tolist() == pytest.approx(expected, abs=1e-6)


def test_the_token_after_the_end_is_not_read_and_the_end_token_is() -> None:
    judge, sequences = scorer(), pad(ROWS, END)
    before = judge(sequences)
    for row in (0, 1):
        last = int(sequences.attention[row].sum()) - 1
        assert torch.equal(judge(edited(sequences, row, last + 1)), before)
        changed = judge(edited(sequences, row, last)) != before
        assert changed.tolist() == [place == row for place in range(3)]


def test_every_earlier_token_is_read_too() -> None:
    judge, sequences = scorer(), pad(ROWS, END)
    for column in range(5):
        assert judge(edited(sequences, 0, column))[0] != judge(sequences)[0]


def test_amount_and_content_of_padding_change_nothing() -> None:
    judge = scorer()
    wide = Sequences(*(torch.nn.functional.pad(field, (0, 6)) for field in pad(ROWS, VOCAB - 1)))
    torch.testing.assert_close(judge(wide), judge(pad(ROWS, END)), rtol=0, atol=1e-6)
    alone = torch.cat([judge(pad([row], END)) for row in ROWS])
    torch.testing.assert_close(judge(wide), alone, rtol=0, atol=1e-6)


def test_left_padding_is_refused_rather_than_read_as_text() -> None:
    judge = scorer()
    for read in (judge, judge.state_values):
        with pytest.raises(DataError, match="a row begins with padding, which models read as text"):
            read(left_padded(pad(ROWS, END)))


def test_the_order_of_rows_changes_nothing() -> None:
    judge, sequences = scorer(), pad(texts(6), END)
    order = torch.tensor([5, 3, 1, 0, 4, 2])
    torch.testing.assert_close(judge(sequences.select(order)), judge(sequences)[order], rtol=0, atol=1e-6)


def test_shift_and_scale_map_scores_and_state_values() -> None:
    judge, sequences = scorer(), pad(ROWS, END)
    score, values = judge(sequences), judge.state_values(sequences)
    judge.calibrate(0.75, 4.0)
    assert (judge.shift, judge.scale) == (0.75, 4.0)
    torch.testing.assert_close(judge(sequences), (score - 0.75) / 4, rtol=0, atol=1e-12)
    mask = sequences.completion
    torch.testing.assert_close(judge.state_values(sequences), (values - 0.75) / 4 * mask, rtol=0, atol=1e-12)


def test_preferences_do_not_depend_on_the_shift() -> None:
    judge, sequences = scorer(), pad(texts(4), END)
    first, second = judge(sequences).chunk(2)
    judge.calibrate(-3.0)
    again = judge(sequences).chunk(2)
    torch.testing.assert_close(again[0] - again[1], first - second, rtol=0, atol=1e-12)


def test_entry_t_of_state_values_has_seen_the_tokens_before_t_only() -> None:
    judge, sequences = scorer(), pad(ROWS, END)
    before = judge.state_values(sequences)
    for column in range(int(sequences.attention[2].sum())):
        after = judge.state_values(edited(sequences, 2, column))
        moved = (after != before)[2]
        assert not moved[: column + 1].any()
        assert torch.equal(moved[column + 1 :], sequences.completion[2, column + 1 :])


def test_state_values_are_head_outputs_one_token_earlier() -> None:
    judge, sequences = scorer(), pad(ROWS, END)
    values, by_token = judge.state_values(sequences), by_hand(judge.model, sequences)
    for row, (prompt, reply) in enumerate(ROWS):
        expected = [0.0] * sequences.ids.shape[1]
        for t in range(len(prompt), len(prompt + reply)):
            expected[t] = by_token[row][t - 1]
        assert values[row].tolist() == pytest.approx(expected, abs=1e-6)


def test_scores_are_float32_in_a_bfloat16_model() -> None:
    judge, sequences = scorer(dtype=torch.bfloat16), pad(ROWS, END)
    assert judge(sequences).dtype is judge.state_values(sequences).dtype is torch.float32


def test_the_head_of_a_bfloat16_model_does_not_round_scores_to_ties() -> None:
    """bfloat16 has 8 bits: among 200 scores it leaves ties, and best-of-n then picks the first."""
    judge = scorer(dtype=torch.bfloat16)
    score = judge(pad(texts(200), END))
    assert not torch.equal(score, score.bfloat16().float())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    llama(dtype=torch.float32).save_pretrained(tmp_path / "lm")
    return tmp_path / "lm"


def head(judge: Scorer) -> Tensor:
    return judge.head.weight.detach()


def test_a_new_head_depends_on_its_seed_alone(folder: Path) -> None:
    torch.manual_seed(1)
    first = new_scorer(folder, 5, pad_id=END)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = new_scorer(folder, 5, pad_id=END)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(head(first), head(second))
    assert not torch.equal(head(first), head(new_scorer(folder, 6, pad_id=END)))


def test_a_new_head_is_normal_with_variance_one_over_width_plus_one(tmp_path: Path) -> None:
    llama(dtype=torch.float32, hidden_size=1024, num_attention_heads=2, intermediate_size=4).save_pretrained(tmp_path)
    weight = head(new_scorer(tmp_path, 0, pad_id=END)).double()
    assert weight.numel() == 1024
    assert weight.std().item() == pytest.approx(1025**-0.5, rel=0.1)
    assert abs(weight.mean().item()) < 5 * 1025**-0.5 / 32


def test_a_new_scorer_is_a_copy_of_the_language_model_with_no_shift(folder: Path) -> None:
    judge, base = new_scorer(folder, 0, pad_id=END), llama(dtype=torch.float32)
    assert (judge.shift, judge.scale) == (0.0, 1.0)
    for name, value in base.base_model.state_dict().items():
        assert torch.equal(judge.model.base_model.state_dict()[name], value), name


def test_gpt2_can_be_a_reward_model_and_reads_no_padding(tmp_path: Path) -> None:
    gpt2(dtype=torch.float32).save_pretrained(tmp_path)
    judge = new_scorer(tmp_path, 0, pad_id=END).eval()
    alone = torch.cat([judge(pad([row], END)) for row in ROWS])
    torch.testing.assert_close(judge(pad(ROWS, END)), alone, rtol=0, atol=1e-5)


def test_what_is_stored_scores_the_same_bits(folder: Path, tmp_path: Path) -> None:
    judge, sequences = new_scorer(folder, 3, pad_id=END), pad(ROWS, END)
    judge.calibrate(0.3, 2.0)
    judge.save(tmp_path / "rm", build("small"))
    again = stored_scorer(tmp_path / "rm")
    assert (again.shift, again.scale) == (0.3, 2.0)
    assert torch.equal(again(sequences), judge(sequences))


def test_what_is_stored_is_an_ordinary_sequence_classifier(folder: Path, tmp_path: Path) -> None:
    """Read by transformers alone, unpadded, it gives the same score before shift and scale."""
    judge = new_scorer(folder, 3, pad_id=END)
    judge.save(tmp_path / "rm", build("small"))
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "rm", local_files_only=True)
    for prompt, reply in [([1, 2], [3, 4]), ([5], [6, 7, 8])]:
        expected = plain(input_ids=torch.tensor([prompt + reply])).logits[0, 0].item()
        assert judge(pad([(prompt, reply)], END)).item() == pytest.approx(expected, abs=1e-6)


def test_an_architecture_without_a_classifier_is_named(tmp_path: Path) -> None:
    cohere(dtype=torch.float32).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"cannot become a reward model: (.|\n)*sequence-classification form"):
        new_scorer(tmp_path, 0, pad_id=END)


def test_a_head_with_several_outputs_is_refused() -> None:
    model = LlamaForSequenceClassification(LlamaConfig(**(SHAPE | dict(num_labels=2, pad_token_id=0))))
    with pytest.raises(ModelError, match="LlamaForSequenceClassification has no linear head with one output"):
        Scorer(model)
