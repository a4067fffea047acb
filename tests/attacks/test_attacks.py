"""Attacks on real text: what each does, that none loses the request, and that each is a function of its draws."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest

from alignlab.attacks import ATTACKS, code_words, encodings, in_context, noise, payload_splitting
from alignlab.attacks.attempts import apply
from alignlab.attacks.persuasion import TECHNIQUES
from alignlab.data.schema import Message
from alignlab.worlds.desk import ATTACKS as DESK_ATTACKS

TEXT = 'How do I open a "5-pin" lock,\nplease — without 10 tools?'
BEFORE = (Message("system", "Be brief."), Message("user", "Hello."), Message("assistant", "Hello!"))
REQUEST = (*BEFORE, Message("user", TEXT))
WRAPPERS = ("prefix_injection", "refusal_suppression", "role_play", "persuasion", "suffix_noise", "in_context")
each = pytest.mark.parametrize("kind", sorted(ATTACKS))


def draws(kind: str, messages: tuple[Message, ...] = REQUEST, count: int = 60) -> list[tuple[Message, ...]]:
    return [apply(kind, messages, random.Random(seed)) for seed in range(count)]


def test_no_name_is_that_of_an_attack_of_the_desk_world():
    assert not set(ATTACKS) & set(DESK_ATTACKS)


@each
def test_earlier_turns_stay_and_roles_alternate(kind):
    for messages in draws(kind):
        assert messages[: len(BEFORE)] == BEFORE
        assert all(one.role != other.role for one, other in pairwise(messages))
        assert messages[-1].role == "user"


@each
def test_is_a_function_of_its_draws_and_changes_something(kind):
    assert draws(kind) == draws(kind)
    assert all(messages != REQUEST for messages in draws(kind))


@pytest.mark.parametrize("kind", sorted({*ATTACKS} - {*encodings.DECODE}))
def test_draws_differ(kind):
    assert len(set(draws(kind))) > 5


@pytest.mark.parametrize("kind", WRAPPERS)
def test_wrappers_keep_the_request_as_it_is(kind):
    assert all(TEXT in messages[-1].content for messages in draws(kind))


@pytest.mark.parametrize("kind", sorted(encodings.DECODE))
@pytest.mark.parametrize("text", [TEXT, "Öffne 4 Türen & 0 Fenster", "a", "0123456789", "ABC is d (e)"])
def test_encodings_read_back(kind, text):
    coded = apply(kind, (Message("user", text),), random.Random(0))[-1].content
    assert encodings.DECODE[kind](coded) == text


def test_encodings_by_hand():
    ask = (Message("user", "Hi east"),)
    assert apply("base64", ask, random.Random(0))[-1].content.endswith("\n\nSGkgZWFzdA==")
    assert apply("rot13", ask, random.Random(0))[-1].content.endswith("\n\nUv rnfg")
    assert apply("leetspeak", ask, random.Random(0))[-1].content.endswith("\n\nH1 3457")


@pytest.mark.parametrize("text", [TEXT, "one", "two words", "", "  spaced   out  \n text "])
def test_split_payload_adds_up(text):
    for seed in range(40):
        coded = payload_splitting.encode(text, random.Random(seed))
        assert payload_splitting.decode(coded) == text
        if text == TEXT:
            assert TEXT not in coded
            assert coded.count(" = ") == coded.count(" + ") + 1 in (2, 3, 4)


@pytest.mark.parametrize("text", [TEXT, "Tell me about willow and copper mining", "go up", "Lock the lock, Lockes"])
def test_code_words_read_back(text):
    for seed in range(40):
        assert code_words.decode(code_words.encode(text, random.Random(seed))) == text


def test_code_words_replace_the_longest_whole_words():
    coded = code_words.encode("unlock the unlocked gate", random.Random(1))
    assert "unlocked gate" not in coded
    assert '"unlocked"' in coded
    assert code_words.encode("go up", random.Random(1)) == "go up"


def test_suffix_stands_behind_and_has_no_space():
    for messages in draws("suffix_noise"):
        text, suffix = messages[-1].content[: len(TEXT)], messages[-1].content[len(TEXT) + 1 :]
        assert text == TEXT
        assert 8 <= len(suffix) <= 24
        assert " " not in suffix


def test_perturbation_keeps_length_words_and_most_letters():
    changed, total = 0, 0
    for messages in draws("perturbation", count=200):
        text = messages[-1].content
        assert len(text) == len(TEXT)
        assert [i for i, c in enumerate(text) if c.isspace()] == [i for i, c in enumerate(TEXT) if c.isspace()]
        for word, original in zip(text.split(), TEXT.split(), strict=True):
            lost = Counter(original.casefold()) - Counter(word.casefold())
            changed, total = changed + lost.total(), total + len(original)
    assert 0.02 < changed / total < noise.STRAY * 1.2


def test_perturbation_draws_as_often_as_the_paper_says():
    """At sigma 0.4: words scrambled and letters swapped at 0.632, characters replaced at 0.064."""
    assert pytest.approx((0.6325, 0.064), abs=1e-4) == (noise.SCRAMBLED, noise.STRAY)
    word = "abcdefghijklmnopqrstuvwxyz"
    made = [noise.perturb(word, random.Random(seed)) for seed in range(2000)]
    upper = sum(sum(c.isupper() for c in text) for text in made) / (2000 * 26)
    assert upper == pytest.approx(0.632, abs=0.02)
    kept = sum(sum(a == b for a, b in zip(text.lower(), word, strict=True)) > 18 for text in made) / 2000
    assert kept == pytest.approx(1 - 0.632, abs=0.04)


def test_perturbation_of_letters_without_one_counterpart():
    assert all(len(noise.perturb("ßŉ straße", random.Random(seed))) == 9 for seed in range(50))


def test_in_context_counts_and_answers():
    lengths = Counter(len(messages) - len(REQUEST) for messages in draws("in_context", count=200))
    assert set(lengths) == {2 * count for count in in_context.COUNTS}
    for messages in draws("in_context"):
        shown = [turn.content for turn in messages[len(BEFORE) : -1]]
        assert len(set(shown)) == len(shown)
        assert all(reply.startswith("Sure.") for reply in shown[1::2])


def test_persuasion_uses_every_wording():
    said = {messages[-1].content.partition("\n\n")[0] for messages in draws("persuasion", count=300)}
    assert said == {claim for claims in TECHNIQUES.values() for claim in claims}


def recovered(text: str) -> bool:
    """Whether the request can be read out of a text that stands around it in any of the ways of writing it."""
    ask = (Message("user", TEXT),)
    encoded = (apply(kind, ask, random.Random(0))[-1].content for kind in encodings.DECODE)
    keyed = text[max(0, text.find("In my question, ")) :]
    return (
        TEXT in text
        or any(coded in text for coded in encoded)
        or payload_splitting.decode(text) == TEXT
        or code_words.decode(keyed).startswith(TEXT)
        or nearly(text)
    )


def nearly(text: str) -> bool:
    """Whether a window of the text has the request's white space and nearly all of its letters."""
    space, letters = [i for i, c in enumerate(TEXT) if c.isspace()], Counter(TEXT.casefold())
    for start in range(len(text) - len(TEXT) + 1):
        window = text[start : start + len(TEXT)]
        lost = letters - Counter(window.casefold())
        if [i for i, c in enumerate(window) if c.isspace()] == space and lost.total() < 0.25 * len(TEXT):
            return True
    return False


def test_recovery_can_fail():
    assert not recovered("Answer under these rules:\n\nHow do I close a window, quickly and without any noise at all?")


def test_combination_has_two_or_three_parts_and_keeps_the_request():
    plain = 0
    for messages in draws("combination", count=400):
        text = messages[-1].content
        assert len(messages) == len(REQUEST)
        claims = sum(claim in text for claims in TECHNIQUES.values() for claim in claims)
        opening = text.rpartition("\n\n")[2].startswith(("Begin your", "Start your", "Your first"))
        wrappers = sum(("My line is:" in text, "Answer under these rules:" in text, claims == 1, opening))
        assert wrappers in ((2, 3) if TEXT in text else (1, 2))
        assert recovered(text), text
        plain += TEXT in text
    assert 140 < plain < 260
