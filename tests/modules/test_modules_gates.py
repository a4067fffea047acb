"""Gates stop a run that could not be right, and only such a run."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from alignlab.plugins.dpo.config import DPOConfig
from alignlab.plugins.ppo.module import PPOModule
from alignlab.plugins.rloo.config import RLOOConfig
from alignlab.plugins.rloo.module import RLOOModule
from doubles import Replay, learner, prompts, rollouts
from grouped import grouped
from online import online
from small import VOCAB, fit, gpt2, llama, pair_module, pairs, parts

from alignlab.config import TrainerConfig
from alignlab.data.batch import Sequences
from alignlab.errors import ConfigError, MissingPartError, PluginError, TrainingError
from alignlab.models.policy import Policy, TokenOutputs
from alignlab.modules import rollouts as rollouts_module
from alignlab.modules.gates import disagreement
from alignlab.modules.pairs import PairModule
from alignlab.modules.rollouts import RolloutModule
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.llama_engine import LlamaEngine
from alignlab.rollout.sampling import Sampling

F32, F64 = torch.float32, torch.float64
PAIR_GATE = (
    r"dpo: at step 0 the policy's log-probabilities differ from the cached reference's by {}, so that KL is not 0 and "
    r"the loss not at its known start\n  remedy: the reference must be the policy the method starts from: "
    r"rebuild it with `cache prune reference`"
)
START_GATE = (
    r"ppo: KL to the reference is not 0 at step 0: log-probabilities differ by up to .* nats a token \(limit 0.0001\)"
    r"\n  remedy: the reference must be an exact copy of the starting policy, both without dropout"
)


def dpo(policy: Policy) -> PairModule:
    return pair_module("dpo", DPOConfig(lr=1e-3), policy)


@pytest.mark.parametrize("dtype", [F32, F64])
def test_a_reference_that_is_not_the_start_stops_pairs(dtype: torch.dtype) -> None:
    batch = pairs(5, 0, Policy(llama(1, dtype)))
    with pytest.raises(TrainingError, match=PAIR_GATE.format(r"up to .* nats a token \(limit 0.0001\)")):
        fit(dpo(Policy(llama(0, dtype))), [batch])


@pytest.mark.parametrize(("gap", "stops"), [(0.9e-4, False), (1.1e-4, True)])
def test_one_token_off_by_more_than_rounding_stops_pairs(gap: float, stops: bool) -> None:
    policy = Policy(llama())
    batch = pairs(5, 0, policy)
    row, column = batch.sequences.completion.nonzero()[7].tolist()
    batch.reference[row, column] += gap
    if stops:
        with pytest.raises(TrainingError, match=re.escape("up to 0.00011 nats a token (limit 0.0001)")):
            fit(dpo(policy), [batch])
    else:
        fit(dpo(policy), [batch])


def test_what_the_reference_holds_off_the_completion_does_not_count() -> None:
    policy = Policy(llama())
    batch = pairs(5, 0, policy)
    batch.reference[~batch.sequences.completion] = 9.0
    fit(dpo(policy), [batch])


def test_pairs_are_gated_in_every_micro_batch_of_the_first_step_only() -> None:
    policy = Policy(llama(dtype=F32))
    good, bad = pairs(4, 0, policy), pairs(4, 0, Policy(llama(1, F32)))
    assert len(fit(dpo(policy), [good, bad])) == 2
    policy = Policy(llama(dtype=F32))
    late = pairs(4, 0, policy)
    late.reference[3] -= 1
    with pytest.raises(TrainingError, match="at step 0 the policy's log-probabilities differ"):
        fit(pair_module("dpo", DPOConfig(lr=1e-3), policy, micro=1), [late])


def test_bfloat16_arithmetic_passes_and_a_wrong_model_in_it_does_not() -> None:
    """The cached reference is float32; autocast moves single tokens by far more than 1e-4 nats."""
    policy = Policy(llama(dtype=F32))
    batch = pairs(20, 0, policy)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        gaps = (policy(batch.sequences).logps - batch.reference).abs()
    assert gaps.max() > 1e-3
    fit(dpo(policy), [batch], precision="bf16-mixed")
    wrong = pairs(20, 0, Policy(llama(1, F32)))
    with pytest.raises(TrainingError, match=PAIR_GATE.format(r"a mean of .* nats a token \(limit 0.05 in half prec.*")):
        fit(dpo(Policy(llama(0, F32))), [wrong], precision="bf16-mixed")


def test_half_precision_is_seen_in_weights_too() -> None:
    x, mask = torch.zeros(1, 2), torch.ones(1, 2)
    y = torch.tensor([[0.08, 0.0]])
    assert disagreement(x, y, mask, Policy(llama(dtype=torch.bfloat16))) == ""
    assert disagreement(x, y, mask, Policy(llama(dtype=F32))) == "up to 0.08 nats a token (limit 0.0001)"
    worse = disagreement(x, y + 0.1, mask, Policy(llama(dtype=torch.bfloat16)))
    assert worse == "a mean of 0.14 nats a token (limit 0.05 in half precision)"


@pytest.mark.parametrize("dtype", [F32, F64])
def test_kl_that_does_not_start_at_zero_stops_rollouts(dtype: torch.dtype) -> None:
    policy = Policy(llama(0, dtype))
    module, batch = learner(policy, rollouts(policy, 6), reference=Policy(llama(1, dtype)))
    with pytest.raises(TrainingError, match=START_GATE):
        fit(module, [batch])


@pytest.mark.filterwarnings("ignore:.*each rollout is scored again")
def test_dropout_in_the_policy_stops_rollouts() -> None:
    policy = Policy(gpt2(dtype=F32, resid_pdrop=0.1)).train()
    module, batch = learner(policy, rollouts(policy, 6), reference=Policy(gpt2(dtype=F32)))
    with pytest.raises(TrainingError, match=START_GATE):
        fit(module, [batch])


@pytest.mark.parametrize(("dtype", "precision"), [(F32, "bf16-mixed"), (torch.bfloat16, "32-true")])
def test_rollouts_in_bfloat16_pass(dtype: torch.dtype, precision: str) -> None:
    """Micro-batches of other widths than the rollout's round otherwise."""
    policy = Policy(llama(dtype=dtype))
    module, batch = learner(policy, rollouts(policy, 6), reference=Policy(llama(dtype=dtype)), micro=2)
    assert len(fit(module, [batch], precision=precision)) == 1


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-true", "64-true", "bf16"])
def test_precisions_that_scale_gradients_or_round_batches_are_refused(precision: str) -> None:
    message = (
        f"trainer.precision must be 32-true or bf16-mixed, got {precision!r}\n  remedy: pass "
        "trainer.precision=bf16-mixed: bfloat16 arithmetic over float32 weights"
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        TrainerConfig(precision=precision)
    assert TrainerConfig(precision="bf16-mixed").precision == "bf16-mixed"


class Drifting(Policy):
    """Scores its training passes unlike its rollouts, as a wrong temperature or mask would."""

    gap = 0.01

    def forward(self, sequences: Sequences, **also: bool) -> TokenOutputs:
        out = super().forward(sequences, **also)
        return out._replace(logps=out.logps + self.gap * sequences.completion) if torch.is_grad_enabled() else out


@pytest.mark.parametrize("micro", [0, 2])
def test_a_ratio_that_is_not_one_before_the_first_update_stops(micro: int) -> None:
    policy = Drifting(llama())
    module, batch = learner(policy, rollouts(policy, 6), reference=Policy(llama()), micro=micro)
    message = (
        r"ppo: the probability ratio is not 1 before update 0: log-probabilities differ by up to 0.01 nats a token "
        r"\(limit 0.0001\)\n  remedy: rollout and training must use the same temperature, masks and positions"
    )
    with pytest.raises(TrainingError, match=message):
        fit(module, [batch])


def test_the_ratio_is_gated_in_every_iteration() -> None:
    policy = Drifting(llama())
    policy.gap = 0.0
    module, batch = learner(policy, rollouts(policy, 6), reference=Policy(llama()), total=2)
    original = module.learn

    def learn(experience: Any, batch_idx: int) -> dict[str, float]:
        policy.gap = 0.01 * batch_idx
        return original(experience, batch_idx)

    module.learn = learn
    with pytest.raises(TrainingError, match="the probability ratio is not 1 before update 1:"):
        fit(module, [batch, batch])


def drawn(policy: Policy, rows: int, seed: int) -> Rollouts:
    engine = LlamaEngine(policy.model, sampling=Sampling(max_new_tokens=6), end_ids=(VOCAB - 1,), pad_id=0, reason="")
    return engine.sample([[1, 2]] * rows, Noise(seed, torch.arange(rows)))


@pytest.mark.parametrize("own", [True, False])
def test_a_negative_kl_stops_unless_samples_are_the_policys_own(own: bool) -> None:
    """Samples of the reference, scored as if they were the policy's, have mean log-ratio -KL(ref || policy) < 0."""
    reference, rows = Policy(llama(dtype=F32)), 200
    policy = Policy(llama(dtype=F32))
    first = drawn(reference, rows, 0)
    module, batch = learner(policy, first, reference=reference, lr=0.02, rollout_epochs=4, total=2, warmup=0.0)

    class Later(Replay):
        def sample(self, given: Any, noise: Noise) -> Rollouts:
            self.calls += 1
            return first if self.calls == 1 else drawn(policy if own else reference, rows, 1)

    module.parts._engine = Later()
    module.distrusts.fill_(True)  # else the ratio would stop it
    if own:
        log = fit(module, [batch, batch])
        assert log[1]["train/kl"] > 0.05
        return
    message = (
        r"ppo: estimated KL is -\d\.\d{3} ± \d\.\d{3} nats at step 1; KL cannot be negative\n  remedy: samples do not "
        r"come from the distribution that is scored"
    )
    with pytest.raises(TrainingError, match=message):
        fit(module, [batch, batch])


def test_an_engine_that_is_off_is_said_once_and_not_trusted_again() -> None:
    """A little off, as other kernels are: each rollout is scored by the policy, so that no ratio is wrong."""
    policy = Policy(llama(dtype=F32))
    good = rollouts(policy, 6)

    class Off(Replay):
        def sample(self, given: Any, noise: Noise) -> Rollouts:
            with torch.no_grad():
                return good._replace(logps=policy(good.sequences).logps + 1e-3 * good.sequences.completion)

    module, batch = learner(policy, good, reference=Policy(llama(dtype=F32)), total=3)
    module.parts._engine = Off(good)
    with pytest.warns(UserWarning, match="each rollout is scored again") as told:
        log = fit(module, [batch] * 3)
    assert len([each for each in told if "scored again" in str(each.message)]) == 1
    assert [round(row["train/engine_gap"], 5) for row in log] == [1e-3] * 3
    assert bool(module.state_dict()["distrusts"])


def test_an_engine_that_agrees_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollouts_module, "CHECKED", 2)
    policy = Policy(llama(dtype=F32))
    module, batch = learner(policy, rollouts(policy, 6), reference=Policy(llama(dtype=F32)), total=4)
    log = fit(module, [batch] * 4)
    assert ["train/engine_gap" in row for row in log] == [True, False, True, False]
    assert all(row["train/entropy"] > 0 for row in log)


def test_plugins_without_their_one_method_are_told_what_to_write() -> None:
    policy = Policy(llama())
    with pytest.raises(MissingPartError, match=r"uses parts\.objective but does not declare it"):
        PairModule(DPOConfig(), parts(policy))
    module, _ = learner(policy, rollouts(policy, 3), reference=Policy(llama()))
    bare = RolloutModule(module.config, module.parts)
    bare.configure_optimizers = lambda: torch.optim.SGD(policy.parameters())
    with pytest.raises(NotImplementedError, match=re.escape("RolloutModule must define learn(experience, batch_idx)")):
        fit(bare, [prompts(rollouts(policy, 3))])
    assert isinstance(module, PPOModule)


def test_a_rollout_method_that_reads_a_reference_says_so_in_its_declaration() -> None:
    policy = Policy(gpt2())
    config = RLOOConfig(group_size=2, batch_size=4)
    module, batch = online(RLOOModule, config, policy, grouped(policy, 2, 2), reference=None)
    message = "does not declare\n  remedy: write Needs(reference=Reference.MODEL) in its Method"
    with pytest.raises(PluginError, match=re.escape(message)):
        fit(module, [batch])
