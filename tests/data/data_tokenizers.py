"""Tiny tokenizers built in memory: word-level and byte-pair, with and without bos, eos, pad and chat template."""

from __future__ import annotations

from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content.strip() }} [/INST]"
    "{% else %} {{ m.content.strip() }} {{ eos_token }}{% endif %}{% endfor %}"
)
# Opens an answer with an empty block of reasoning that the generation marker lacks.
THINK = CHATML.replace("{{ m.content }}", "{% if m.role == 'assistant' %}<think></think>{% endif %}{{ m.content }}")
# The generation marker opens reasoning that a finished answer no longer shows.
OPENED = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>{% endif %}")
# Drops all turns but the last two once the conversation ends in an answer.
FORGETS = CHATML.replace(
    "{% for m in messages %}",
    "{% set kept = messages[-2:] if messages[-1].role == 'assistant' else messages %}{% for m in kept %}",
)
UPPER = CHATML.replace("{{ m.content }}", "{{ m.content | upper }}")
STRICT = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML

TEXT = [
    "User: tell me about the cat and the hat\n\nAssistant: the cat sat on the mat. The hat is red.",
    "System: be brief\n\nHuman: how do I crack an egg? Assistant: tap it on the rim of a bowl, then pull.",
    "<|im_start|>user\nassistant system question answer<|im_end|>",
]
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def _wordlevel() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(TEXT, trainers.WordLevelTrainer(special_tokens=["<unk>", *SPECIAL]))
    return tokenizer


def _bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def build(
    kind: str = "bpe", *, adds_bos: bool = False, template: str | None = None, **special: str | None
) -> PreTrainedTokenizerFast:
    """A tokenizer with the named special tokens; kind is bpe or words."""
    raw = _bpe() if kind == "bpe" else _wordlevel()
    if adds_bos:
        raw.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", raw.token_to_id("<s>"))]
        )
    tokens = {"bos_token": "<s>", "eos_token": "</s>"} | special
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        **{name: token for name, token in tokens.items() if token is not None},
    )
    tokenizer.chat_template = template
    return tokenizer
