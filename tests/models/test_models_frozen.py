"""A frozen model is read, follows its owner to a device, and is otherwise invisible."""

from __future__ import annotations

import torch
from small import gpt2, texts
from torch import nn

from alignlab.data.batch import pad
from alignlab.models.frozen import Frozen
from alignlab.models.policy import Policy


class Owner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Linear(2, 2)
        self.reference = Frozen(Policy(gpt2(dtype=torch.float32, attn_pdrop=0.5, resid_pdrop=0.5)))


def test_it_stays_in_eval_mode_when_its_owner_trains() -> None:
    owner, sequences = Owner(), pad(texts(3), 0)
    before = owner.reference(sequences).logps
    owner.train()
    assert not any(module.training for module in owner.reference.model.modules())
    assert torch.equal(owner.reference(sequences).logps, before)


def test_it_adds_nothing_to_checkpoints_and_loading_stays_strict() -> None:
    owner = Owner()
    assert set(owner.state_dict()) == {"own.weight", "own.bias"}
    Owner().load_state_dict(owner.state_dict(), strict=True)


def test_it_shows_no_parameters_and_records_no_gradient() -> None:
    owner = Owner()
    assert [name for name, _ in owner.named_parameters()] == ["own.weight", "own.bias"]
    assert not any(p.requires_grad for p in owner.reference.model.parameters())
    assert not owner.reference(pad(texts(3), 0)).logps.requires_grad


def test_it_follows_its_owner() -> None:
    owner = Owner().to(torch.float64)
    assert {p.dtype for p in owner.reference.model.parameters()} == {torch.float64}
    assert {p.device.type for p in owner.to("meta").reference.model.parameters()} == {"meta"}


def test_it_does_not_share_weights_that_are_trained() -> None:
    """A frozen copy keeps its numbers while the policy it was copied from moves."""
    policy, reference = Policy(gpt2()), Frozen(Policy(gpt2()))
    sequences = pad(texts(3), 0)
    before = reference(sequences).logps
    with torch.no_grad():
        for p in policy.parameters():
            p.add_(1)
    assert torch.equal(reference(sequences).logps, before)
