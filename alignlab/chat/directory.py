"""A model that is a directory and nothing else: any causal language model that transformers loads."""

from __future__ import annotations

from pathlib import Path

from alignlab.chat.room import Room, Speaker
from alignlab.config import TrainerConfig
from alignlab.data.encode import end_ids
from alignlab.data.tokens import Limits
from alignlab.errors import ConfigError
from alignlab.models.config import HfModel
from alignlab.models.load import check_location, pretrained, pretrained_tokenizer
from alignlab.models.policy import Policy
from alignlab.rollout.engine import build_engine
from alignlab.rollout.sampler import PolicySampler, Sampler
from alignlab.rollout.sampling import Sampling
from alignlab.stages.training import accelerator

NEW_TOKENS = 256


def room(folder: Path, *, max_new_tokens: int | None = None) -> Room:
    """The conversation with the model in a directory; its chat template, else plain roles.

    ModelError for a directory that transformers cannot load, ConfigError when replies leave no room for a prompt.
    """
    config = HfModel(path=str(folder))
    check_location(config.path)
    tokenizer, policy = pretrained_tokenizer(config), Policy(pretrained(config))
    policy.to(accelerator(TrainerConfig())).eval().requires_grad_(False)
    longest = min(policy.max_positions, 1 << 15)
    new = max_new_tokens or min(NEW_TOKENS, longest // 2)
    if new >= longest:
        raise ConfigError(
            f"--max-new-tokens {new} leaves no room for a prompt in {longest} positions", f"pass {longest // 4}"
        )
    ends = end_ids(tokenizer, policy.model.generation_config)
    pad = tokenizer.pad_token_id or 0

    def sampler(temperature: float) -> Sampler:
        sampling = Sampling(max_new_tokens=new, temperature=temperature)
        return PolicySampler(policy, build_engine(policy.model, sampling, ends, pad))

    return Room(
        title=str(folder),
        speakers=[Speaker(folder.resolve().name, sampler)],
        tokenizer=tokenizer,
        template="auto",
        limits=Limits(max_length=longest, max_completion=new, min_prompt=1),
    )
