"""The tabular policy as a language model agrees with the table it is."""

from __future__ import annotations

import torch
from enumerated import somewhere
from worldly import F64, WORLD

from alignlab.exact.sampled import _engine, settings
from alignlab.exact.table import ExactReward, TableModel, TableValue, contexts, numbers, rows
from alignlab.models.policy import Policy
from alignlab.numerics.noise import Noise
from alignlab.worlds import exact

PROMPTS, COMPLETIONS = (each.flatten() for each in torch.meshgrid(torch.arange(8), torch.arange(216), indexing="ij"))


def policy() -> Policy:
    model = TableModel()
    with torch.no_grad():
        model.table.copy_(somewhere())
    return Policy(model)


def test_it_starts_as_the_reference_in_full_precision() -> None:
    found = Policy(TableModel())(rows(PROMPTS, COMPLETIONS)).logps
    assert found.dtype == F64
    torch.testing.assert_close(found.sum(-1).view(8, 216), WORLD.reference, rtol=0, atol=1e-12)


def test_log_probabilities_of_all_completions_are_those_of_the_table() -> None:
    own = policy()
    found = own(rows(PROMPTS, COMPLETIONS)).logps
    assert bool((found[:, 0] == 0).all())
    expected = exact.token_logps(own.model.table.detach()).view(-1, 3)
    torch.testing.assert_close(found[:, 1:].detach(), expected, rtol=0, atol=1e-12)


def test_numbers_and_contexts_of_rows() -> None:
    sequences = rows(PROMPTS, COMPLETIONS)
    assert torch.equal(numbers(sequences.ids), COMPLETIONS)
    assert torch.equal(contexts(sequences.ids)[:216, :3], exact.contexts())


def test_samples_are_scored_by_the_reward_and_drawn_as_often_as_they_are_likely() -> None:
    own = policy()
    count = 20_000
    drawn = _engine(own).sample([[5]] * count, Noise(0, torch.arange(count)))
    found = numbers(drawn.sequences.ids)
    expected = own(drawn.sequences).logps
    torch.testing.assert_close(drawn.logps, expected.detach(), rtol=0, atol=1e-12)
    chance = exact.sequence_logps(own.model.table.detach())[5].exp()
    observed = torch.bincount(found, minlength=216) / count
    assert (observed - chance).abs().max() < 5 * float((chance.max() / count) ** 0.5)
    scores = ExactReward(WORLD.reward).score(drawn, None)
    assert torch.equal(scores, WORLD.reward[5, found])


def test_values_belong_to_the_state_before_each_token() -> None:
    value = TableValue()
    with torch.no_grad():
        value.table.copy_(torch.arange(8 * 43, dtype=F64).view(8, 43))
    found = value.state_values(rows(torch.tensor([2]), torch.tensor([36 * 4 + 6 * 3 + 1])))
    assert found.tolist() == [[0.0, 86.0, 86.0 + 1 + 4, 86.0 + 7 + 24 + 3]]


def test_groups_fit_the_prompts_and_only_optimisation_changes() -> None:
    from alignlab.config import preset_config

    before = preset_config("grpo")
    after = settings(before, 50)
    assert (after.steps, after.batch_size, after.group_size) == (50, 512, 64)
    changed = {name for name, value in vars(before).items() if vars(after)[name] != value}
    optimisation = {"lr", "batch_size", "schedule", "warmup", "weight_decay", "max_grad_norm", "steps", "minibatches"}
    assert changed <= optimisation | {"missing_end_penalty", "group_size"}
