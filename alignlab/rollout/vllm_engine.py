"""Sampling through vLLM, for models too large for the in-process engines. Needs the `vllm` package and a GPU.

Prompts go in and completions come back as token ids; text is never re-tokenised. Before every call the policy's
weights are written to a directory as safetensors and the workers reload them from there: slower than a broadcast
between devices, but it works for any number of workers and any vLLM that has `reload_weights` (0.9 and later).

Each request carries a seed derived from its row, so samples do not depend on the batch. vLLM draws with its own
generator, though: the same row yields other tokens than the in-process engines, and its log-probabilities come
from other kernels. Recompute them with the trainer (see `alignlab.rollout.engine.trusted`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from alignlab.data.batch import pad
from alignlab.errors import ModelError
from alignlab.models.trunk import max_positions, vocabulary_size
from alignlab.numerics.noise import Noise
from alignlab.rollout.batch import Rollouts
from alignlab.rollout.prompts import check_prompts
from alignlab.rollout.sampling import Sampling


class VLLMEngine:
    """An in-process vLLM instance that follows a live model."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        sampling: Sampling,
        end_ids: tuple[int, ...],
        pad_id: int,
        reason: str = "vLLM engine",
        **options: Any,
    ) -> None:
        """`options` go to `vllm.LLM`, such as tensor_parallel_size or gpu_memory_utilization."""
        self.vllm = _import_vllm()
        self.model, self.sampling, self.end_ids, self.pad_id = model, sampling, end_ids, pad_id
        self.reason = reason
        self._folder = tempfile.TemporaryDirectory(prefix="alignlab-policy-")
        self._save()
        self.engine = self.vllm.LLM(
            model=self._folder.name,
            skip_tokenizer_init=True,
            max_model_len=max_positions(model),
            dtype=str(model.dtype).removeprefix("torch."),
            # Those of the distribution sampled from: after temperature and truncation, as everywhere here.
            logprobs_mode="processed_logprobs",
            # A prefix cached under the previous weights must not be reused.
            enable_prefix_caching=False,
            **options,
        )

    def sample(self, prompts: Sequence[Sequence[int]], noise: Noise) -> Rollouts:
        """One completion for each prompt; each row's seed is derived from its noise.

        DataError for a prompt that is empty, too long or not of this vocabulary.
        """
        if len(noise.rows) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts but noise for {len(noise.rows)} rows")
        check_prompts(
            prompts,
            max_new_tokens=self.sampling.max_new_tokens,
            max_positions=max_positions(self.model),
            vocabulary=vocabulary_size(self.model),
        )
        self._save()
        self.engine.collective_rpc("reload_weights")
        results = self.engine.generate(
            [{"prompt_token_ids": list(prompt)} for prompt in prompts],
            sampling_params=[self._request(seed) for seed in noise.seeds().tolist()],
            use_tqdm=False,
        )
        return self._collect(prompts, [result.outputs[0] for result in results]).counted(self.model)

    def _save(self) -> None:
        self.model.save_pretrained(self._folder.name, safe_serialization=True)

    def _request(self, seed: int) -> Any:
        sampling = self.sampling
        return self.vllm.SamplingParams(
            n=1,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k or -1,  # -1 keeps all in every version; 0 was refused by older ones
            max_tokens=sampling.max_new_tokens,
            seed=seed,
            stop_token_ids=list(self.end_ids),
            ignore_eos=True,  # only the ids given above end a completion, not those of the model's config
            logprobs=0,  # of the sampled token alone
            detokenize=False,
        )

    def _collect(self, prompts: Sequence[Sequence[int]], outputs: Sequence[Any]) -> Rollouts:
        replies = [list(output.token_ids) for output in outputs]
        sequences = pad(list(zip(prompts, replies, strict=True)), self.pad_id)
        logps = torch.zeros(sequences.ids.shape)
        logps[sequences.completion] = torch.tensor(
            [
                step[token].logprob
                for reply, output in zip(replies, outputs, strict=True)
                for token, step in zip(reply, output.logprobs, strict=True)
            ]
        )
        ended = torch.tensor([reply[-1] in self.end_ids for reply in replies])
        return Rollouts(sequences, logps, ended).to(self.model.device)


def _import_vllm() -> Any:
    """The vllm module; ModelError saying how to get it where it cannot be imported."""
    try:
        import vllm
    except ImportError as error:
        raise ModelError(
            f"rollout.engine=vllm needs the vllm package, which cannot be imported: {error}",
            "pip install vllm (Linux with a CUDA GPU), or set rollout.engine=auto",
        ) from error
    return vllm
