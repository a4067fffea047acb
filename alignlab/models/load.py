"""Models and tokenizers, made fresh or read from a directory or the hub.

Weights are read from safetensors only, and a directory is never looked up on the network.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch.nn.modules.dropout import _DropoutNd
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from alignlab.errors import ModelError
from alignlab.models.config import HfModel, TinyModel
from alignlab.models.named import told_as
from alignlab.models.policy import Policy

# Its progress bars and advice are about single loads; here a run loads a dozen small models.
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

ALIGNED = 64
"""Bytes at whose multiples torch puts what it allocates."""


def settled(model: PreTrainedModel) -> PreTrainedModel:
    """The model such that two forward passes over the same rows agree bit for bit, here and after storing.

    Otherwise ratios and KL start with noise (arXiv 2403.17031, §3). Every probability of dropout, layer drop and router
    jitter becomes 0, in modules and in their configs: architectures read them from either place. Weights move out of
    the mapped file, where they begin wherever its header ends: the last bits of small products depend on that.
    """
    for weights in (*model.parameters(), *model.buffers()):
        if weights.data_ptr() % ALIGNED:
            weights.data = weights.data.clone()
    for module in model.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
        for holder in filter(None, (module, getattr(module, "config", None))):
            for name, value in list(vars(holder).items()):
                if isinstance(value, float) and ("drop" in name or "jitter" in name):
                    setattr(holder, name, 0.0)
    return model


def new_model(config: TinyModel, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
    """A Llama with fresh weights; the same seed gives the same weights whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=config.hidden,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=config.intermediate,
                max_position_embeddings=config.max_positions,
                tie_word_embeddings=False,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )


def pretrained(config: HfModel) -> PreTrainedModel:
    """The model a configuration names, on the CPU, in its dtype, without dropout.

    Raises ModelError for a directory that is not a model, pickled weights, or an id that cannot be had.
    """
    options: dict[str, Any] = dict(
        dtype=getattr(torch, config.dtype.value),
        attn_implementation=config.attention,
        use_safetensors=True,
    )
    model = settled(_from(AutoModelForCausalLM, config, **options))
    # Sampling settings that come with a model are not this run's, and some of them cannot even be saved again.
    kept = {name: getattr(model.generation_config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(**kept)
    return model


def pretrained_tokenizer(config: HfModel) -> PreTrainedTokenizerBase:
    """The tokenizer that belongs to the model."""
    tokenizer: PreTrainedTokenizerBase = _from(AutoTokenizer, config)
    return tokenizer


def _from(loader: Any, config: HfModel, **options: Any) -> Any:
    local = check_location(config.path)
    try:
        return loader.from_pretrained(
            config.path,
            revision=config.revision,
            trust_remote_code=config.trust_remote_code,
            local_files_only=local,
            **options,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        remedy = "check the directory" if local else "check the id and the network, or pass a local directory"
        if "attention implementation" in str(error):
            remedy = "pass model.attention=eager"
        raise ModelError(f"model.path={config.path!r} could not be loaded: {first}", remedy) from error


def check_location(path: str) -> bool:
    """Whether `path` is a directory with a model. Raises ModelError for one that is not usable.

    A name that is neither an existing directory nor looks like a path is taken for a hub id (returns False).
    """
    folder = Path(path).expanduser()
    if not folder.exists():
        if path.startswith((".", "/", "~")) or path.count("/") > 1:
            raise ModelError(f"model.path={path!r}: there is no such directory", "correct the path")
        return False
    if not folder.is_dir():
        raise ModelError(f"model.path={path!r} is a file, not a model directory", "pass the folder that holds it")
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"model.path={path!r} is not a model directory: it has no config.json",
            "pass a folder written by save_pretrained",
        )
    _check_config(folder)
    if not any(folder.glob("*.safetensors")):
        pickled = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth") for p in folder.glob(pattern))
        if pickled:
            raise ModelError(
                f"model.path={path!r} holds pickled weights ({pickled[0]}), which can run code when loaded",
                "convert them: AutoModelForCausalLM.from_pretrained(…).save_pretrained(…, safe_serialization=True)",
            )
        raise ModelError(f"model.path={path!r} holds no *.safetensors weights", "pass a complete model directory")
    return True


def _check_config(folder: Path) -> None:
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{folder / 'config.json'} is not valid JSON: {error}", "restore the file") from error


def stored(folder: Path, **options: Any) -> PreTrainedModel:
    """A causal language model from a stage's own directory; `options` as for `from_pretrained`."""
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True, **options)
    return settled(model)


def named_policy(path: str, commit: str | None, key: str, device: str) -> tuple[Policy, PreTrainedTokenizerBase]:
    """A model that is only read, with its own tokenizer; `key` is the setting that names it, for messages."""
    place = HfModel(path=path, revision=commit)
    with told_as(key):
        model, tokenizer = pretrained(place), pretrained_tokenizer(place)
    return Policy(model).to(device).eval().requires_grad_(False), tokenizer
