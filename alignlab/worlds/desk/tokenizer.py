"""A word-level vocabulary as an ordinary fast tokenizer of `transformers`.

Words are separated by single spaces; the special `<end>` closes an assistant turn, inside a conversation as
at its end, and is the end-of-sequence token. Nothing is added outside the chat template, so no text can get a
second start token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alignlab.worlds.desk.vocabulary import lexicon

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, UNKNOWN, BOS, END, USER, ASSISTANT = SPECIALS = ("<pad>", "<unk>", "<bos>", "<end>", "<user>", "<assistant>")

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ ' <user> ' + message['content'] }}"
    "{% elif message['role'] == 'assistant' %}{{ ' <assistant> ' + message['content'] + ' <end>' }}"
    "{% else %}{{ raise_exception('the desk world knows the roles user and assistant') }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ ' <assistant>' }}{% endif %}"
)


def build(size: str) -> PreTrainedTokenizerFast:
    """The tokenizer of a size of the world: special tokens first, then all words in alphabetical order."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate((*SPECIALS, *lexicon(size).words))}
    core = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    core.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=BOS,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
