"""A causal language model as annotator: two answers' log-probabilities, and sampled criticism and revisions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from alignlab.annotators import wording
from alignlab.annotators.feedback import Comparison, Draft
from alignlab.annotators.kinds import ModelConfig, PolicyConfig
from alignlab.annotators.language_model import LanguageModelAnnotator, model_annotator, policy_annotator
from alignlab.data.schema import Prompt
from alignlab.errors import ModelError
from alignlab.models.config import TinyModel
from alignlab.models.load import new_model
from alignlab.models.policy import Policy
from alignlab.worlds.desk.tokenizer import build

TOKENIZER = build("small")
END = TOKENIZER.eos_token_id
PROMPT = Prompt(id="p", text="explain rivers in brief")
ANSWERS = ["sure", "sorry"]


def policy(positions: int = 256) -> Policy:
    shape = TinyModel(hidden=16, layers=1, heads=2, intermediate=32, max_positions=positions)
    model = new_model(shape, TOKENIZER, 3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8)
    return Policy(model.double().eval())


def asked(of: Policy, **given: Any) -> LanguageModelAnnotator:
    settings = {"answers": ANSWERS, "max_new_tokens": 8, "principles": ["is it safe"], **given}
    return policy_annotator(
        PolicyConfig(**settings), policy=of, tokenizer=TOKENIZER, template="auto", end_ids=(END,), pad_id=0
    )


def comparison(first: str = "it has water .", second: str = "thanks") -> Comparison:
    return Comparison(PROMPT, first, second, (True, True), 0, 5)


def logp_of(of: Policy, text: str, answer: str) -> float:
    """By hand, one row at a time."""
    ids = TOKENIZER(f"<bos> <user> {text} <assistant>", add_special_tokens=False)["input_ids"]
    total = 0.0
    for word in answer.split():
        logits = of.model(torch.tensor([ids])).logits[0, -1].double()
        token = TOKENIZER.convert_tokens_to_ids(word)
        total += float(logits.log_softmax(-1)[token])
        ids = [*ids, token]
    return total


@pytest.mark.parametrize("answers", [ANSWERS, ["i cannot", "sure"]])
def test_the_label_is_a_softmax_over_two_answers(answers: list[str]) -> None:
    of = policy()
    annotator = asked(of, answers=answers)
    rows = [comparison(), comparison("thanks", "it has water ."), comparison("sure", "-")]
    with torch.no_grad():
        for row, said in zip(rows, annotator.judge(rows), strict=True):
            text = wording.question(annotator.config, row)
            one, two = (logp_of(of, text, answer) for answer in answers)
            assert said == pytest.approx(1 / (1 + math.exp(two - one)), abs=1e-5)


def test_answers_that_it_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(ModelError, match="are no two words of the model's vocabulary"):
        asked(policy(), answers=["A", "B"]).judge([comparison()])


def test_what_does_not_fit_into_the_context_has_no_answer() -> None:
    long = comparison(" ".join(["water"] * 200))
    annotator = asked(policy(150), max_new_tokens=100)
    short, none = annotator.judge([comparison(), long])
    assert short is not None
    assert none is None
    assert annotator.judge([long]) == [None]
    assert annotator.revise([Draft(PROMPT, long.first, 0, 1)]) == [None]


def test_revisions_are_a_function_of_the_row_alone() -> None:
    annotator = asked(policy())
    drafts = [Draft(PROMPT, "it has water .", 0, seed) for seed in (10, 20, 30)]
    together = annotator.revise(drafts)
    assert together[1] == annotator.revise(drafts[1:2])[0]
    assert len({one.critique for one in together if one is not None}) > 1
    with_other_criticism = wording.revision(annotator.config, drafts[0], "{reply} is braces")
    assert "Criticism: {reply} is braces" in with_other_criticism


def test_a_model_from_a_directory_judges_as_the_same_model_in_memory(tmp_path: Path) -> None:
    of = policy()
    of.save(tmp_path, TOKENIZER)
    config = ModelConfig(path=str(tmp_path), answers=ANSWERS, principles=["is it safe"])
    config.check(None)
    stored = model_annotator(config, device="cpu")
    assert stored.judge([comparison()]) == pytest.approx(asked(of).judge([comparison()]), abs=1e-6)


def test_the_address_of_a_model_is_its_content(tmp_path: Path) -> None:
    for name in ("a", "b"):
        policy().save(tmp_path / name, TOKENIZER)
    one, same = (ModelConfig(path=str(tmp_path / name), principles=["p"]).address() for name in ("a", "b"))
    assert one == same
    assert str(tmp_path) not in str(one)
    config = tmp_path / "b" / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 1', '"num_hidden_layers":  1'))
    assert ModelConfig(path=str(tmp_path / "b"), principles=["p"]).address() != one


def test_a_directory_without_a_model_is_refused_under_its_own_key(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"annotator\.path="):
        ModelConfig(path=str(tmp_path), principles=["p"]).check(None)
