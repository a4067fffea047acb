"""TDPO's module against brute force over prefixes and vocabulary, in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from alignlab.plugins.tdpo.config import TDPOConfig
from alignlab.plugins.tdpo.module import TDPOModule
from small import VOCAB, fit, gpt2, gradients, pairs, parts

from alignlab.data.batch import PairBatch
from alignlab.models.policy import Policy

BETA = 0.3
BOTH = pytest.mark.parametrize(("alpha", "constant"), [(0.5, True), (1.0, False)], ids=["tdpo", "tdpo1"])


@pytest.fixture(autouse=True)
def away_from_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most policies here are, which the first step would refuse."""
    monkeypatch.setattr("alignlab.modules.gates.disagreement", lambda *given: "")


def brute_force(policy: Policy, reference: Policy, batch: PairBatch) -> list[list[float]]:
    """KL(reference || policy) of each completion token, by loops over prefixes and the vocabulary."""
    found = []
    for prompt, reply in batch.sequences.split():
        row = []
        for t in range(len(reply)):
            prefix = torch.tensor([[*prompt, *reply[:t]]])
            p, q = (m.model(prefix).logits[0, -1].softmax(-1).tolist() for m in (policy, reference))
            row.append(sum(q[v] * (math.log(q[v]) - math.log(p[v])) for v in range(VOCAB)))
        found.append(row)
    return found


def module(policy: Policy, reference: Policy, *, micro: int = 0, **settings: Any) -> TDPOModule:
    config = TDPOConfig(**(dict(beta=BETA, max_grad_norm=0.0, warmup=0.0) | settings))
    return TDPOModule(config, parts(policy, micro=micro, reference=reference, objective=("tdpo", config)))


def test_kl_and_log_probabilities_are_those_of_brute_force() -> None:
    policy, reference = Policy(gpt2(1)), Policy(gpt2(2))
    batch = pairs(4)
    scored = module(policy, reference, on_policy_weight=True).score(batch)
    sums = [sum(row) for row in brute_force(policy, reference, batch)]
    assert min(sums) > 0.1
    assert scored.context["chosen_kl"].tolist() == pytest.approx(sums[:4], abs=1e-12)
    assert scored.context["rejected_kl"].tolist() == pytest.approx(sums[4:], abs=1e-12)
    whole = policy(batch.sequences, collision=True)
    torch.testing.assert_close(scored.outputs.logps, whole.logps, rtol=0, atol=1e-12)
    torch.testing.assert_close(scored.outputs.collision, whole.collision, rtol=0, atol=1e-12)
    torch.testing.assert_close(scored.reference, reference(batch.sequences).logps, rtol=0, atol=1e-12)
    assert not scored.reference.requires_grad
    assert not any(p.grad is not None or p.requires_grad for p in reference.parameters())


@pytest.mark.parametrize("changes", [dict(length_normalised=True), dict(tail_weight=0.25)])
def test_kl_is_summed_as_log_probabilities_are(changes: dict[str, Any]) -> None:
    policy, reference = Policy(gpt2(1)), Policy(gpt2(2))
    batch = pairs(4)
    rows = brute_force(policy, reference, batch)
    shorter = [min(len(rows[b]), len(rows[b + 4])) for b in range(4)] * 2
    expected = [
        sum(row) / len(row) if "length_normalised" in changes else sum(row[:cut]) + 0.25 * sum(row[cut:])
        for row, cut in zip(rows, shorter, strict=True)
    ]
    context = module(policy, reference, **changes).score(batch).context
    assert [*context["chosen_kl"].tolist(), *context["rejected_kl"].tolist()] == pytest.approx(expected, abs=1e-12)


@BOTH
@pytest.mark.parametrize("micro", [0, 1, 3])
def test_a_step_has_the_gradient_of_the_written_out_loss(micro: int, alpha: float, constant: bool) -> None:
    policy, other, reference = Policy(gpt2(1)), Policy(gpt2(1)), Policy(gpt2(2))
    batch = pairs(5)
    total = 0.0
    for b in range(5):
        terms = []
        for prompt, reply in (batch.sequences.split()[b], batch.sequences.split()[b + 5]):
            ids, start = torch.tensor([[*prompt, *reply]]), len(prompt)
            logp, ref = (m.model(ids).logits[0, start - 1 : -1].log_softmax(-1) for m in (other, reference))
            at = torch.arange(len(reply)), torch.tensor(reply)
            terms.append(((logp[at] - ref[at].detach()).sum(), (ref.exp() * (ref - logp)).sum()))
        (rho_w, k_w), (rho_l, k_l) = terms
        k_w = k_w.item() if constant else k_w
        total = total - torch.log(torch.sigmoid(BETA * (rho_w - rho_l - alpha * (k_l - k_w)))) / 5
    total.backward()
    log = fit(module(policy, reference, micro=micro, kl_weight=alpha, chosen_kl_constant=constant), [batch])[0]
    assert log["train/loss"] == pytest.approx(total.item(), abs=1e-12)
    expected = gradients(other)
    for name, gradient in gradients(policy).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-12, msg=name)


@BOTH
def test_the_first_step_is_that_of_dpo(alpha: float, constant: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the reference both KL are 0, where they are smallest, so that they have no gradient either."""
    policy, other = Policy(gpt2()), Policy(gpt2())
    batch = pairs(5)
    chosen, rejected = other(batch.sequences).logps.sum(-1).chunk(2)
    (-BETA / 2 * (chosen - rejected).mean()).backward()
    learner = module(policy, Policy(gpt2()), kl_weight=alpha, chosen_kl_constant=constant)
    monkeypatch.undo()
    assert fit(learner, [batch])[0]["train/loss"] == pytest.approx(math.log(2), abs=1e-14)
    expected = gradients(other)
    for name, gradient in gradients(policy).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-12, msg=name)


def test_a_moving_reference_is_the_model_the_kl_is_measured_to() -> None:
    policy = Policy(gpt2())
    learner = module(policy, Policy(gpt2()), reference_every=1, lr=1e-2)
    fit(learner, [pairs(4)])
    moved, now = learner.reference.model.state_dict(), policy.state_dict()
    assert all(torch.equal(value, now[name]) for name, value in moved.items())
    assert {name.split(".")[0] for name in learner.state_dict()} == {"policy", "moving"}
    assert {name.split(".")[0] for name in module(policy, Policy(gpt2())).state_dict()} == {"policy"}
