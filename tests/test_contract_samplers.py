"""Every installed method that acts at inference: its completions and what it says of their distribution."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support import TINY

from alignlab import registry
from alignlab.compose import composed
from alignlab.config import typed
from alignlab.data.schema import Split
from alignlab.evaluation.measure_tokens import measure_tokens
from alignlab.method import Reference
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.sampler import Sampler
from alignlab.stages import sampled
from alignlab.stages.graph import Graph
from alignlab.stages.trained import Trained

pytestmark = pytest.mark.slow
acting = [name for name, method in sorted(registry.methods().items()) if method.sampler]
each_sampler = pytest.mark.parametrize("name", acting)
ROWS = 8


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store, so that methods share their stages."""
    return tmp_path_factory.mktemp("store")


def graph_of(name: str, store: Path) -> Graph:
    return Graph(typed(composed([f"algo={name}", *TINY, f"store={store}"])), quiet=True)


def job_of(graph: Graph) -> Trained:
    return Trained(graph, graph.method, graph.settings.algo, "", graph.settings.seeds, Split.TRAIN)


def sampler_of(graph: Graph, temperature: float = 1.0) -> Sampler:
    return graph.sampler(graph.policy_of_method, temperature)


def drawn(graph: Graph, sampler: Sampler, order: torch.Tensor) -> Rollouts:
    rows = graph.prompt_rows(Split.EVALUATION, graph.settings.seeds)
    chosen = [rows[index] for index in order.tolist()]
    return sampler.sample([row.source for row in chosen], [row.prompt.tolist() for row in chosen], Noise(5, order))


@each_sampler
def test_the_same_request_gives_the_same_completions(name: str, store: Path) -> None:
    graph, order = graph_of(name, store), torch.arange(ROWS)
    first, again = (drawn(graph, sampler_of(graph), order) for _ in range(2))
    assert first.completions() == again.completions()
    assert torch.equal(first.logps, again.logps)


@each_sampler
def test_the_order_of_rows_changes_no_completion(name: str, store: Path) -> None:
    graph = graph_of(name, store)
    sampler, order = sampler_of(graph), torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    straight, shuffled = drawn(graph, sampler, torch.arange(ROWS)), drawn(graph, sampler, order)
    assert shuffled.completions() == [straight.completions()[index] for index in order.tolist()]


@each_sampler
def test_completions_are_well_formed(name: str, store: Path) -> None:
    graph = graph_of(name, store)
    rollouts, ends = drawn(graph, sampler_of(graph), torch.arange(ROWS)), set(graph.base.end_ids)
    assert rollouts.rows == ROWS
    assert torch.isfinite(rollouts.logps).all()
    assert (rollouts.logps <= 0).all()
    for reply, ended in zip(rollouts.completions(), rollouts.ended.tolist(), strict=True):
        assert 1 <= len(reply) <= graph.settings.rollout.max_new_tokens
        assert (reply[-1] in ends) is ended
        assert not ends.intersection(reply[:-1])


@each_sampler
def test_drift_is_known_and_its_distribution_the_one_drawn_from(name: str, store: Path) -> None:
    graph = graph_of(name, store)
    sampler, reference = sampler_of(graph), graph.policy(graph.sft)
    rollouts = drawn(graph, sampler, torch.arange(ROWS))
    if sampler.kl_bound is not None:
        assert 0 <= sampler.kl_bound < float("inf")
        return
    found = measure_tokens(sampler.completion_logits, reference.completion_logits, rollouts.sequences)
    assert all(torch.isfinite(column).all() for column in found)
    assert (found.kl > -1e-5).all()
    torch.testing.assert_close(found.logp, rollouts.logps.sum(-1).double(), rtol=0, atol=1e-3)


@each_sampler
def test_greedy_sampling_needs_no_noise(name: str, store: Path) -> None:
    graph = graph_of(name, store)
    sampler = sampler_of(graph, 0.0)
    rows = graph.prompt_rows(Split.EVALUATION, graph.settings.seeds)[:4]
    given = [row.source for row in rows], [row.prompt.tolist() for row in rows]
    first, other = (sampler.sample(*given, Noise(seed, torch.arange(4))) for seed in (1, 2))
    assert first.completions() == other.completions()


@each_sampler
def test_what_is_not_declared_is_not_there(name: str, store: Path) -> None:
    graph = graph_of(name, store)
    needs, parts = graph.method.needs, sampled.parts(graph, job_of(graph), 1.0)
    assert parts.has_reference is (needs.reference is Reference.MODEL)
    assert set(parts.scorers) == set(needs.scorers)


@each_sampler
def test_models_are_only_read(name: str, store: Path) -> None:
    graph = graph_of(name, store)
    parts = sampled.parts(graph, job_of(graph), 1.0)
    before = {key: value.clone() for key, value in parts.model.state_dict().items()}
    drawn(graph, graph.method.load_sampler()(graph.settings.algo, parts), torch.arange(2))
    assert all(torch.equal(before[key], value) for key, value in parts.model.state_dict().items())


@pytest.mark.parametrize("name", [name for name in acting if registry.method(name).needs.policy])
def test_the_policy_inside_is_the_one_its_method_trains(name: str, store: Path) -> None:
    graph = graph_of(name, store)
    inner = graph.settings.algo.policy
    alone = graph_of(inner.name, store)
    assert job_of(graph).start.digest == alone.policy_of_method.digest
