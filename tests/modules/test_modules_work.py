"""Counted work against numbers worked out by hand, on models small enough to count."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from alignlab.plugins.dpo.config import DPOConfig
from alignlab.plugins.ppo.config import PPOConfig
from alignlab.plugins.ppo.module import PPOModule
from doubles import rollouts
from online import online
from small import VOCAB, fit, gpt2, llama, pair_module, parts, scorer, texts

from alignlab.data.batch import PairBatch, PromptBatch, Sequences, pad
from alignlab.models.policy import Policy
from alignlab.models.scorer import Scorer
from alignlab.numerics.noise import Noise
from alignlab.rewards.learned import LearnedReward
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.engine import build_engine
from alignlab.rollout.sampling import Sampling
from alignlab.work import Work, counting, parameters_of, passed, plays, uncounted

# One block of `small.gpt2`: width 16. Attention 16x48 + 48 and 16x16 + 16, MLP 16x64 + 64 and 64x16 + 16, two norms
# of 32, one more at the end; the head is tied to the embedding and counts, the positions do not.
GPT2 = (16 * 48 + 48) + (16 * 16 + 16) + (16 * 64 + 64) + (64 * 16 + 16) + 3 * 32 + 16 * VOCAB
# One block of `small.llama`: width 16, two heads of 8, one key-value head, a gated MLP of 20, three norms, own head.
LLAMA = 16 * 16 + 2 * 16 * 8 + 16 * 16 + 3 * 16 * 20 + 3 * 16
PAIRS = [([1, 2, 3], [4, 5], [6]), ([1], [2, 3, 4], [5, 6]), ([7, 8], [9], [1, 2, 3, 4]), ([3, 3, 3, 3], [5], [6])]
TOKENS = (5 + 4) + (4 + 3) + (3 + 6) + (5 + 5)


def known_pairs() -> PairBatch:
    chosen = [(prompt, first) for prompt, first, _ in PAIRS]
    return PairBatch(torch.arange(4), pad([*chosen, *((prompt, second) for prompt, _, second in PAIRS)], 0))


def test_parameters_leave_out_embeddings_and_keep_the_head() -> None:
    assert parameters_of(gpt2()) == GPT2
    assert parameters_of(llama(tie_word_embeddings=True)) == parameters_of(llama()) == LLAMA + 16 * VOCAB
    assert parameters_of(scorer().model) == LLAMA + 16


@pytest.mark.parametrize("micro", [0, 1, 3])
def test_an_epoch_of_pairs(micro: int) -> None:
    policy, batch = Policy(gpt2()), known_pairs()
    logps = policy(batch.sequences).logps.detach()
    batch = PairBatch(batch.index, batch.sequences, logps)
    config = DPOConfig(batch_size=4, lr=1e-3)
    with counting() as work:
        fit(pair_module("dpo", config, policy, micro=micro, total=2), [batch, batch])
    assert work.record() == {
        "forward_tokens": {"policy": 2 * TOKENS},
        "backward_tokens": {"policy": 2 * TOKENS},
        "parameters": {"policy": GPT2},
        "sampled_tokens": 0,
        "steps": 2,
        "samples": 0,  # known to the training, not to the module
        "flops": 6 * GPT2 * 2 * TOKENS,
        "peak_memory_bytes": 0,
    }


def test_more_padding_is_no_more_work() -> None:
    policy, sequences = Policy(gpt2()), known_pairs().sequences
    wide = Sequences(*(torch.nn.functional.pad(field, (0, 9)) for field in sequences))
    with counting() as work:
        policy(wide)
        policy.completion_logits(wide)
    assert work.forward_tokens["policy"] == work.backward_tokens["policy"] == 2 * TOKENS


def test_rows_without_a_completion_are_asked_nothing() -> None:
    policy, sequences = Policy(gpt2()), known_pairs().sequences
    kept = sequences._replace(completion=sequences.completion & (torch.arange(8) < 4)[:, None])
    with counting() as work, torch.no_grad():
        policy(kept)
    assert (work.forward_tokens["policy"], work.backward_tokens["policy"]) == (5 + 4 + 3 + 5, 0)


@pytest.mark.parametrize("kind", ["builtin", "transformers"])
def test_sampling_is_one_pass_over_prompt_and_completion(kind: str) -> None:
    """Whatever the cache, shared prompts, and rows that have ended."""
    engine = build_engine(llama(), Sampling(max_new_tokens=6), (3,), 0, kind=kind)
    asked = [[1, 2, 4], [1, 2, 4], [5]]
    with counting() as work:
        done = engine.sample(asked, Noise(0, torch.arange(3)))
    new = sum(map(len, done.completions()))
    assert 3 <= new <= 18
    assert (work.sampled_tokens, work.forward_tokens["policy"]) == (new, 3 + 3 + 1 + new)
    assert work.flops == 2 * (LLAMA + 16 * VOCAB) * (7 + new)


def ppo(**settings: Any) -> tuple[Work, int, int]:
    """Work of one iteration, tokens of its rollout with prompts, and sampled ones."""
    policy, reference, given = Policy(llama(1)), Policy(llama(1)), texts(4)
    plays(reference.model, "reference")
    value = scorer(5)
    plays(value.model, "value")
    seen: list[Rollouts] = []

    class Listening:
        sampling = Sampling(max_new_tokens=5)

        def sample(self, ids: Any, noise: Noise) -> Rollouts:
            seen.append(build_engine(policy.model, self.sampling, (3,), 0).sample(ids, noise))
            return seen[-1]

    config = PPOConfig(**(dict(batch_size=4, rollout_epochs=2, minibatches=2, lr=1e-3) | settings))
    more = dict(reference=reference, value=value, engine=Listening(), reward=LearnedReward(scorer=scorer(6)))
    module = PPOModule(config, parts(policy, total=1, micro=3, **more))
    with counting() as work:
        fit(module, [PromptBatch(torch.arange(4), [prompt for prompt, _ in given], [None] * 4)])
    return work, int(seen[0].sequences.attention.sum()), int(seen[0].sequences.completion.sum())


def test_one_iteration_of_ppo() -> None:
    work, tokens, new = ppo()
    passes = 2  # epochs
    assert work.sampled_tokens == new
    assert work.steps == 4
    assert work.forward_tokens == {
        "policy": (1 + 1 + passes) * tokens,  # sampled, scored as old log-probabilities, learned from
        "reference": tokens,
        "reward": tokens,
        "cost": 0,
        "value": (1 + passes) * tokens,
        "annotator": 0,
    }
    assert work.backward_tokens["policy"] == work.backward_tokens["value"] == passes * tokens
    assert sum(work.backward_tokens.values()) == 2 * passes * tokens
    lm, head = LLAMA + 16 * VOCAB, LLAMA + 16
    forward = 2 * lm * (2 + 1) * tokens + 2 * head * (1 + 1) * tokens
    assert work.flops == forward + 6 * (lm + head) * passes * tokens


def test_what_only_keeps_a_graph_alive_is_no_work() -> None:
    """RAFT reads a row of weight 0 where it keeps none, which depends on how a rollout is cut."""
    from alignlab.plugins.raft.config import RAFTConfig
    from alignlab.plugins.raft.module import RAFTModule

    found = []
    for micro in (1, 0):
        policy = Policy(gpt2())
        rollout = rollouts(policy, 6)
        config = RAFTConfig(batch_size=6, group_size=3, keep="best", lr=1e-3)
        module, batch = online(RAFTModule, config, policy, rollout, micro=micro, reference=None)
        with counting() as work:
            fit(module, [batch])
        found.append(work.record())
    assert found[0] == found[1]
    assert 0 < found[0]["backward_tokens"]["policy"] < found[0]["forward_tokens"]["policy"] / 2


def test_models_are_told_apart_by_what_they_are() -> None:
    reference, sequences = Policy(gpt2()), known_pairs().sequences
    plays(reference.model, "reference")
    judge: Scorer = scorer()
    with counting() as work, torch.no_grad():
        reference(sequences)
        judge(sequences)
    assert work.record()["forward_tokens"] == {"reference": TOKENS, "reward": TOKENS}
    with pytest.raises(ValueError, match="'critic' is none of policy, reference"):
        plays(reference.model, "critic")


def test_counting_ends_where_it_should() -> None:
    model, mask = gpt2(), torch.ones(1, 3, dtype=torch.bool)
    passed(model, mask)  # nobody counts
    with counting() as outer:
        with counting() as inner:
            passed(model, mask)
        with uncounted():
            passed(model, mask)
        assert (outer.flops, inner.flops) == (0, 6 * GPT2 * 3)
        passed(model, mask)
    assert outer.record() == Work.recorded(inner.record()).record()
    outer.add(inner)
    assert outer.flops == 2 * inner.flops
    outer.clear()
    assert not any(outer.counts)
