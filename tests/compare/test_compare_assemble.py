"""From folders to the content of a comparison."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from finished import change, write_run, write_sweep

from alignlab.compare.assemble import assemble
from alignlab.compare.page import page
from alignlab.compare.recommend import Limit, recommend
from alignlab.errors import DataError

SEEDS = range(5)


def three(folder: Path) -> Path:
    """Three methods over five seeds: one far above, two alike. Seeds differ by much more than methods."""
    draw = random.Random(1)
    for name, level in (("far", 0.6), ("near", 0.3), ("twin", 0.3)):
        for seed in SEEDS:
            write_run(folder / f"{name}-{seed}", name, seed, level + 0.2 * seed + draw.gauss(0, 0.01), start=0.2 * seed)
    return folder


def rows(content: dict) -> dict[str, dict]:
    return {row["label"]: row for row in content["rows"]}


def conversations(folder: Path) -> None:
    """A run whose requests are conversations with an answer inside them, one of a kind that is withheld."""
    prompts = [
        {"id": kind, "messages": [["user", f"{kind} opening"], ["assistant", f"{kind} recipe"], ["user", "and then?"]]}
        | {"kind": kind}
        for kind in ("harmful", "benign")
    ]
    samples = [{"prompt": each, "attempt": 0, "text": f"{each['kind']} reply", "length": 3} for each in prompts]
    (folder / "samples.jsonl").write_text("".join(json.dumps({**each, "sft": each}) + "\n" for each in samples))
    change(folder, {"about.withheld": ["harmful"]})


def test_withheld_requests_are_withheld_whole(tmp_path: Path) -> None:
    """The request as well: its turns may hold what a policy completed. In the page as in leaderboard.json."""
    for name in ("a", "b"):
        conversations(write_run(tmp_path / name, name, 0, 0.2))
    [data] = re.findall(r"<script[^>]*application/json[^>]*>(.*?)</script>", page(assemble([tmp_path])), re.S)
    for told in (json.loads(data), assemble([tmp_path])):
        shown = {example["kind"]: example for example in told["examples"]}
        assert shown["harmful"]["prompt"] == "[request withheld]"
        assert len(shown["harmful"]["replies"]) == len(shown["benign"]["replies"]) == 3
        assert not {"harmful opening", "harmful recipe", "harmful reply"} & set(re.findall("harmful [a-z]+", str(told)))
        assert shown["benign"]["prompt"] == "user: benign opening\nassistant: benign recipe\nuser: and then?"
    asked = {each["kind"]: each["prompt"] for each in assemble([tmp_path], reveal=True)["examples"]}
    assert "assistant: harmful recipe" in asked["harmful"]


def test_a_request_that_one_run_withholds_is_withheld(tmp_path: Path) -> None:
    for name in ("a", "b"):
        conversations(write_run(tmp_path / name, name, 0, 0.2))
    change(tmp_path / "a", {"about.withheld": []})
    [found] = [each for each in assemble([tmp_path])["examples"] if each["kind"] == "harmful"]
    assert found["prompt"] == "[request withheld]"


def test_rows_tiers_and_the_answer(tmp_path: Path) -> None:
    content = assemble([three(tmp_path)])
    found = rows(content)
    assert list(found) == ["far", "near", "twin", "SFT", "refuse everything", "comply with everything"]
    assert found["far"]["tiers"] == ["a"]
    assert found["near"]["tiers"] == found["twin"]["tiers"] == ["b"]
    assert found["far"]["rank"]["high"] == 1
    assert content["design"]["df"] == 2 * 4
    assert content["answer"].startswith("far has the highest gold score")
    assert "told apart from every other row" in content["answer"]
    assert found["far"]["gain"]["mean"] == pytest.approx(0.6, abs=0.02)
    assert found["SFT"]["control"]
    assert {pair["id"]: pair["separated"] for pair in content["against_baseline"]} == {
        "far-" + found["far"]["id"][-8:]: True,
        found["near"]["id"]: True,
        found["twin"]["id"]: True,
    }
    assert found["far"]["flags"] == [{"name": "length", "text": "Replies grew.", "seeds": [0]}]
    assert found["far"]["metrics"]["win_rate_controlled"]["mean"] > 0.9
    assert len(content["examples"]) == 4
    assert [reply["text"] for reply in content["examples"][0]["replies"]] == [
        "sft says",
        "far says",
        "near says",
        "twin says",
    ]
    json.dumps(content, allow_nan=False)


def test_rows_are_told_by_settings_that_differ_and_repeats_by_seeds(tmp_path: Path) -> None:
    for beta in (0.1, 0.5):
        for seed in (0, 1):
            write_run(tmp_path / f"{beta}-{seed}", "dpo", seed, beta, settings={"beta": beta})
    write_run(tmp_path / "other", "sft", 0, 0.2)
    found = rows(assemble([tmp_path]))
    assert {"dpo beta=0.1", "dpo beta=0.5", "sft"} <= set(found)
    assert found["dpo beta=0.1"]["seeds"] == [0, 1]
    again = write_run(tmp_path / "again", "sft", 0, 0.2)
    content = assemble([tmp_path])
    assert [each["label"] for each in content["not_compared"]] == ["sft seed 0"]
    assert again.name in content["not_compared"][0]["reason"] or "other" in content["not_compared"][0]["reason"]


def test_missing_failed_and_torn_runs_are_shown_and_counted(tmp_path: Path) -> None:
    write_sweep(tmp_path, [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2)])
    for place, name, seed in ((0, "a", 0), (1, "a", 1), (2, "b", 0)):
        write_run(tmp_path / f"{place}-{name}-seed{seed}", name, seed, 0.1 * place)
    (tmp_path / "1-a-seed1" / "result.json").write_text('{"schema": 1, "met')
    (tmp_path / "3-b-seed1").mkdir()
    record = {"status": "killed", "reason": "took longer than job_minutes=1", "name": "b", "seed": 1}
    (tmp_path / "3-b-seed1" / "job.json").write_text(json.dumps(record))
    content = assemble([tmp_path])
    assert [(each["label"], each["seed"], each["status"]) for each in content["failures"]] == [
        ("a", 1, "invalid"),
        ("b", 1, "failed"),
        ("b", 2, "missing"),
    ]
    assert "took longer" in content["failures"][1]["reason"]
    assert any("3 runs have no result" in note for note in content["notes"])
    assert content["commands"][0] == "python -m alignlab -m algo=a,b"
    json.dumps(content, allow_nan=False)


def test_what_cannot_be_compared_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no run"):
        assemble([tmp_path])
    with pytest.raises(DataError, match="is no folder"):
        assemble([tmp_path / "absent"])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "result.json").write_text("")
    with pytest.raises(DataError, match="none of 1 runs has figures"):
        assemble([tmp_path])
    write_run(tmp_path / "one", "a", 0, 0.1)
    with pytest.raises(DataError, match="'other' is no row"):
        assemble([tmp_path], baseline="other")
    content = assemble([tmp_path], baseline="a")
    assert content["design"]["kind"] == "none"
    assert "nothing is compared" in content["answer"]


def test_evaluations_that_differ_are_said_aloud(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "a", 0, 0.1)
    folder = write_run(tmp_path / "b", "b", 0, 0.2)
    content = json.loads((folder / "result.json").read_text())
    content["about"]["settings"]["evaluation"] = {"temperature": 0.5}
    (folder / "result.json").write_text(json.dumps(content))
    first = json.loads((tmp_path / "a" / "result.json").read_text())
    first["about"]["settings"]["evaluation"] = {"temperature": 1.0}
    (tmp_path / "a" / "result.json").write_text(json.dumps(first))
    assert any("evaluated differently (evaluation.temperature)" in note for note in assemble([tmp_path])["notes"])


def test_planted_overoptimisation_is_found_and_drawn(tmp_path: Path) -> None:
    """gold = d(1.2 - 0.8 log d) peaks at d = exp(1.2/0.8 - 1) = 1.65; the proxy goes on rising."""
    import math

    draw = random.Random(0)
    for steps, d in enumerate((0.5, 1.0, 1.6, 2.4, 3.5, 4.5)):
        for seed in range(5):
            gain = d * (1.2 - 0.8 * math.log(d)) + draw.gauss(0, 0.02)
            proxy = {"metrics": {"eval/gold": gain, "eval/proxy": 2 * d, "eval/kl": d * d}}
            proxy["sft"] = {"metrics": {"eval/gold": 0.0, "eval/proxy": 0.0}}
            write_run(tmp_path / f"{steps}-{seed}", "ppo", seed, gain, kl=d * d, settings={"steps": steps}, **proxy)
    fits = {fit["target"]: fit for fit in assemble([tmp_path])["frontier"]["fits"]}
    assert fits["gold"]["peak"] == pytest.approx(math.exp(0.5) ** 2, rel=0.05)
    assert fits["gold"]["inside"]
    assert not fits["proxy"]["inside"]


def test_advice_names_a_row_and_how_sure_it_is(tmp_path: Path) -> None:
    content = assemble([three(tmp_path)])
    sure = recommend(content, "gold", [])
    assert sure.decided
    assert sure.row is not None
    assert sure.row["label"] == "far"
    unsure = recommend(content, "gold", [Limit("gold", "gold", 0.9)])
    assert not unsure.decided
    assert any("does not decide" in sentence or "intervals reach beyond" in sentence for sentence in unsure.sentences)
    assert any("seeds would tell" in sentence or "no affordable" in sentence for sentence in unsure.sentences)
    none = recommend(content, "gold", [Limit("kl", "KL", 0.01)])
    assert none.row is None
    assert "No row meets KL ≤ 0.01." in none.sentences
    with pytest.raises(DataError, match="no row has a figure 'nothing'"):
        recommend(content, "nothing", [])


@pytest.mark.slow
def test_a_thousand_runs_without_torch(tmp_path: Path) -> None:
    draw = random.Random(0)
    for place in range(50):
        for seed in range(20):
            write_run(tmp_path / f"{place}-{seed}", f"m{place}", seed, 0.01 * place + draw.gauss(0, 0.05))
    code = (
        "import sys; from pathlib import Path\n"
        "from alignlab.compare.assemble import assemble\n"
        f"content = assemble([Path({str(tmp_path)!r})])\n"
        "assert len(content['rows']) == 53, len(content['rows'])\n"
        "assert not {'torch', 'lightning', 'transformers', 'pandas'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
