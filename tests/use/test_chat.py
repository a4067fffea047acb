"""`chat`: who answers, what is remembered, which words are known, and where models come from."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from alignlab.__main__ import main
from alignlab.chat import runs
from alignlab.chat.room import Said
from alignlab.chat.show import printable, show
from alignlab.chat.words import advice, near, unknown
from alignlab.recorded import read_record
from alignlab.worlds.desk.tokenizer import build

ASK = "explain rivers in brief"
Talked = Callable[..., tuple[int, str, str]]


@pytest.fixture
def talk(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Talked:
    """Run the verb, some lines piped in; returns exit code, what it printed, what it said."""

    def talked(*arguments: str, lines: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        code = main(["chat", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return talked


def heads(out: str, name: str) -> list[str]:
    return [line for line in out.splitlines() if line.split("  ")[0] == name]


def test_a_run_answers_beside_sft_with_scores(talk: Talked) -> None:
    code, out, err = talk("runs/dpo", "--prompt", ASK)
    assert code == 0
    assert "dpo on desk, seed 0" in err
    for name in ("dpo", "SFT"):
        [head] = heads(out, name)
        assert "gold " in head
        assert "reward model " in head
    assert max(map(len, out.splitlines())) <= 80
    assert talk("runs/dpo/result.json", "--prompt", ASK)[1] == out, "the same seed says the same"
    assert talk("runs/dpo", "--prompt", ASK, "--seed", "1")[1] != out


def test_replies_are_those_of_the_two_models(home: Path, here: Path) -> None:
    room = runs.room(read_record(home / "runs" / "dpo"), max_new_tokens=3)
    first, second = room.speakers
    weights = [dict(each.sampler(1.0).policy.named_parameters()) for each in (first, second)]  # type: ignore[attr-defined]
    assert any((weights[0][name] != weights[1][name]).any() for name in weights[0])
    said = room.ask(second, ASK, seed=0, turn=0, temperature=0.0)
    assert len(said.text.split()) == 3
    assert not said.ended
    assert set(said.scores) == {"gold", "reward model"}
    assert "gold" not in room.ask(first, "explain rivers", seed=0, turn=0, temperature=0.0).scores


def test_a_method_that_acts_at_inference_comes_from_the_store(talk: Talked) -> None:
    code, out, _ = talk("runs/best_of_n", lines=f"{ASK}\n/sft off\n{ASK}\n")
    assert code == 0
    assert len(heads(out, "best_of_n")) == 2
    [best, _], [sft] = ([_score(head) for head in heads(out, name)] for name in ("best_of_n", "SFT"))
    assert best >= sft, "of the candidates, the first of which is what SFT says"


def _score(head: str) -> float:
    return float(head.rpartition(" ")[2])


def test_turns_are_remembered_until_new(home: Path, here: Path) -> None:
    room = runs.room(read_record(home / "runs" / "dpo"))
    speaker = room.speakers[0]
    alone = room.ask(speaker, ASK, seed=0, turn=0, temperature=1.0)
    assert [each.role for each in speaker.history] == ["user", "assistant"]
    after = room.ask(speaker, ASK, seed=0, turn=0, temperature=1.0)
    assert after.text != alone.text, "the conversation before it counts"
    assert [each.content for each in speaker.history][1::2] == [alone.text, after.text]
    room.forget()
    assert room.ask(speaker, ASK, seed=0, turn=0, temperature=1.0) == alone
    for turn in range(12):
        last = room.ask(speaker, ASK, seed=0, turn=turn, temperature=1.0)
    assert last.cut, "256 positions do not hold twelve turns"


def test_commands(talk: Talked) -> None:
    lines = f"/temperature 0\n{ASK}\n/new\n{ASK}\n\n/sft off\n{ASK}\n/sft on\n{ASK}\n/quit\nnot asked\n"
    code, out, err = talk("runs/dpo", lines=lines)
    assert code == 0
    assert "temperature 0\na new conversation\n" in err
    assert len(heads(out, "dpo")) == 4
    assert len(heads(out, "SFT")) == 3
    replies = out.split(f"you> {ASK}\n")[1:]
    assert replies[0].partition("\nyou>")[0] == replies[1].partition("\nyou>")[0], "greedy, after /new"
    assert "not asked" not in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/what", "there is no command /what"),
        ("/temperature hot", "temperature 'hot' is not a number from 0 on"),
        ("/temperature -1", "temperature '-1' is not a number from 0 on"),
        ("/sft maybe", "neither on nor off"),
    ],
)
def test_wrong_commands_end_nothing(talk: Talked, line: str, message: str) -> None:
    code, out, err = talk("runs/dpo", lines=f"{line}\n{ASK}\n")
    assert code == 2
    assert message in err
    assert heads(out, "dpo")


def test_an_unknown_word_is_named_with_near_ones_and_examples(talk: Talked) -> None:
    code, out, err = talk("runs/dpo", "--prompt", "explain Rivers in breif now")
    assert (code, out) == (2, "")
    assert "does not know the word 'Rivers'; near: rivers" in err
    assert "does not know the word 'breif'; near: brief" in err
    assert "'now'" not in err
    examples = [line.strip() for line in err.partition("requests it can read:\n")[2].splitlines()]
    assert len(examples) >= 3
    tokenizer = build("small")
    assert not any(unknown(example, tokenizer) for example in examples)


def test_words() -> None:
    tokenizer = build("small")
    assert unknown("explain rivers , xyz xyz", tokenizer) == ["xyz"]
    assert near("Rivers?", tokenizer) == ["rivers"]
    assert advice("explain rivers", tokenizer, ["example"]) == []
    tokenizer.unk_token = None
    assert unknown("xyz", tokenizer) == []


def test_a_model_directory_has_no_sft_and_no_scores(talk: Talked) -> None:
    code, out, _ = talk("runs/dpo/model", "--prompt", ASK, "--max-new-tokens", "4", "--temperature", "0")
    assert code == 0
    assert heads(out, "model") == ["model"]
    assert not heads(out, "SFT")
    assert talk("runs/dpo/model", "--prompt", ASK, "--max-new-tokens", "256")[0] == 2


def test_a_model_without_chat_template_takes_plain_roles(talk: Talked, home: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(home / "runs" / "dpo" / "model", tmp_path / "plain")
    (folder / "chat_template.jinja").unlink()
    code, out, err = talk(str(folder), lines="explain Rivers\n")
    assert code == 0, "an open vocabulary is warned about, not refused"
    assert "'Rivers'" in err
    assert heads(out, "plain")


def test_without_its_store_a_trained_model_still_talks(talk: Talked, home: Path, tmp_path: Path) -> None:
    for name in ("dpo", "best_of_n"):
        shutil.copytree(home / "runs" / name, tmp_path / name)
        config = (tmp_path / name / "config.yaml").read_text().replace("store: store", f"store: {tmp_path / 'gone'}")
        (tmp_path / name / "config.yaml").write_text(config)
    code, out, err = talk(str(tmp_path / "dpo"), "--prompt", ASK)
    assert code == 0
    assert not heads(out, "SFT")
    assert "no SFT beside it" in err
    assert "no scores of the reward model" in err
    assert heads(out, "dpo") == [heads(out, "dpo")[0]]
    assert "gold" in heads(out, "dpo")[0]
    code, _, err = talk(str(tmp_path / "best_of_n"), "--prompt", ASK)
    assert code == 2
    assert "the stage 'SFT' of" in err
    assert "--store DIR" in err
    code, out, _ = talk(str(tmp_path / "best_of_n"), "--prompt", ASK, "--store", str(home / "store"))
    assert code == 0
    assert heads(out, "SFT")


def test_stages_are_found_when_the_code_has_changed(talk: Talked, monkeypatch: pytest.MonkeyPatch) -> None:
    before = talk("runs/best_of_n", "--prompt", ASK)
    monkeypatch.setattr("alignlab.stages.graph.source_hashes", lambda *targets: {"alignlab": "other"})
    assert talk("runs/best_of_n", "--prompt", ASK) == before


def test_what_cannot_be_talked_to(talk: Talked, home: Path, tmp_path: Path) -> None:
    code, _, err = talk(str(tmp_path))
    assert code == 2
    assert "neither the folder of a run nor a model directory" in err
    assert talk(str(tmp_path / "absent"))[0] == 2
    assert talk("runs/dpo", "--store", str(tmp_path))[0] == 2
    assert talk("runs/dpo", "--temperature", "hot", "--prompt", ASK)[0] == 2
    assert talk("runs/dpo", "--max-new-tokens", "0")[0] == 2
    folder = shutil.copytree(home / "runs" / "dpo", tmp_path / "kept_none")
    shutil.rmtree(folder / "model")
    result = json.loads((folder / "result.json").read_text())
    result["fingerprints"]["policy"] = "0" * 64
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "config.yaml").write_text((folder / "config.yaml").read_text().replace("lr: 0.0006", "lr: 0.0005"))
    code, _, err = talk(str(folder), "--prompt", ASK)
    assert code == 2
    assert "the stage 'dpo, seed 0' of" in err


def test_wide_terminals_show_replies_side_by_side_and_escape_sequences_as_text() -> None:
    replies = [Said("dpo", "one \x1b[2J\u202e two", True, False, {"gold": 0.5}), Said("SFT", "three", False, True, {})]
    shown = {}
    for width in (120, 80):
        console = Console(file=io.StringIO(), width=width)
        show(replies, console)
        shown[width] = console.file.getvalue()  # type: ignore[attr-defined]
        assert "\x1b" not in shown[width]
        assert r"one \x1b[2J\u202e two" in shown[width]
    assert "dpo  gold +0.50" in shown[120]
    assert "SFT" in shown[120].splitlines()[0]
    assert "three (cut at the length limit) (the beginning" in shown[120].splitlines()[1]
    assert [line.split()[0] for line in shown[80].splitlines() if not line.startswith(" ") and line] == ["dpo", "SFT"]
    assert printable("a\nb\t") == "a\nb\\t"
