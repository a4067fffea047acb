"""Methods that act at inference: what is stored of them is what they are made of, and building them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alignlab.method import Reference
from alignlab.models.frozen import Frozen
from alignlab.models.parts import Parts
from alignlab.rollout.sampler import PolicySampler, Sampler
from alignlab.rollout.sampling import Sampling
from alignlab.stages.artefact import Artefact
from alignlab.stages.files import atomic_write_json
from alignlab.stages.key import StageKey, canonical
from alignlab.stages.protocol import Stages
from alignlab.stages.store import Workspace
from alignlab.stages.trained import Trained
from alignlab.work import plays

FILE = "sampler.json"


def key(job: Trained) -> StageKey:
    """Address of a sampler: its settings, the models it is made of, its code."""
    graph = job.graph
    fields: dict[str, Any] = {
        "algo": job.own_settings,
        "start": job.start.content,
        **graph.sampling_fields(),
    }
    if job.needs.reference is Reference.MODEL:
        fields["reference"] = graph.sft.content
    return graph.key("sampler", fields | job.scorer_addresses(), *job.method.code(), __name__)


def build(job: Trained, work: Workspace) -> Mapping[str, Any]:
    """Write what identifies the sampler, so that its content differs whenever its completions might."""
    atomic_write_json(work.out / FILE, {"method": job.method.name, "made_of": canonical(key(job).fields)})
    return {"seconds": 0.0}


def sampler(graph: Stages, artefact: Artefact, job: Trained, temperature: float) -> Sampler:
    """What to sample from: a stored policy, or a method's own class over the models it declares."""
    if not artefact.has(FILE):
        policy = graph.policy(artefact)
        return PolicySampler(policy, graph.engine(policy, temperature=temperature))
    made: Sampler = job.method.load_sampler()(job.config, parts(graph, job, temperature))
    return made


def parts(graph: Stages, job: Trained, temperature: float) -> Parts:
    """Exactly the models that the method declares, and engines at a temperature."""
    policy, base = graph.policy(job.start), graph.base
    reference = Frozen(graph.policy(graph.sft)) if job.needs.reference is Reference.MODEL else None
    if reference is not None:
        plays(reference.model.model, "reference")
    return Parts(
        method=job.method.name,
        model=policy,
        seeds=job.seeds,
        tokenizer=base.tokenizer,
        sampling=Sampling(max_new_tokens=graph.settings.rollout.max_new_tokens, temperature=temperature),
        end_ids=base.end_ids,
        pad_id=base.pad_id,
        _reference=reference,
        _scorers=job.scorers(),
        _engine=graph.engine(policy, temperature=temperature),
        _new_engine=graph.engine,
    )
