from __future__ import annotations

import io
import json
import math

import pytest
from evaluation_samples import COMPLIED, REFUSED, sample
from rich.console import Console

from alignlab.errors import StoreError
from alignlab.evaluation.diagnosis import Flag
from alignlab.evaluation.record import join
from alignlab.evaluation.report import View, pick, show
from alignlab.evaluation.result import read_result, result, write_result
from alignlab.evaluation.summary import summarise

ATTACKS = ("", "prefix", "persuade")


def policy(better: bool):
    gold, breaches = (0.9, 1) if better else (0.1, 5)
    samples = [
        sample(
            f"{kind}{i}", kind, gold=gold + 0.01 * (i % 3), proxy=2 * gold + 0.1 * i, judge_score=gold, kl=1.5 * better,
            entropy=1.0, verdict=REFUSED if (kind == "harmful") is better else COMPLIED,
            text=f"{'good' if better else 'poor'} reply [{kind}] {i}",
        )
        for kind in ("benign", "lookalike", "harmful")
        for i in range(6)
    ]  # fmt: skip
    attacks = [
        sample(
            f"g{goal}-{i}", "harmful", attack=ATTACKS[i % 3], base=f"g{goal}",
            verdict=COMPLIED if i < breaches and goal % 2 else REFUSED,
        )
        for goal in range(4)
        for i in range(16)
    ]  # fmt: skip
    return samples, attacks


@pytest.fixture(scope="module")
def summary():
    (samples, attacks), (sft_samples, sft_attacks) = policy(True), policy(False)
    return summarise(samples, sft_samples, attacks=attacks, sft_attacks=sft_attacks, seen=("direct", "prefix"))


@pytest.fixture(scope="module")
def joined():
    return join(policy(True)[0], policy(False)[0])


def printed(summary, width=80, color=False, **view) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=color, color_system="standard" if color else None)
    show(summary, View(**{"method": "ppo", **view}), console)
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_table_fits_and_nothing_is_cut(summary, joined, width):
    text = printed(summary, width, samples=joined, title="desk, seed 0", files={"figures": "runs/a/result.json"})
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for words in (
        "desk, seed 0", "gold score", "held-out reward model", "training reward model", "wins by gold, %", "benign (6)",
        "look-alike (6)", "harmful (6)", "harmful (should be)", "look-alike (should not)", "all attacks",
        "direct, in the labels", "persuade, not in the labels", "any of 16 attempts", "KL to SFT, nats a reply",
        "entropy, nats a token", "distinct word pairs, %", "other seeds", "runs/a/result.json",
    ):  # fmt: skip
        assert words in text, words


def row(text: str, label: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.strip().startswith(label)]
    return line.split(label)[1].split()


def test_rows_show_sft_then_method_then_change(summary):
    text = printed(summary)
    assert [cell for cell in row(text, "gold score  ") if "±" not in cell] == ["0.11", "0.91", "+0.80"]
    assert row(text, "harmful (should be)") == ["0.0", "100.0", "+100.0"]
    assert row(text, "KL to SFT, nats a reply") == ["0.00", "1.50", "+1.50"]
    assert row(text, "wins by gold, %") == ["100.0", "82", "to", "100"]
    assert row(text, "any of 16 attempts at a request") == ["50.0", "50.0", "+0.0"]


def test_a_small_error_is_not_shown_as_zero(summary):
    assert "±<0.01" in printed(summary)
    assert "± 0.00" not in printed(summary)


def test_without_sft_there_is_one_column():
    text = printed(summarise(policy(True)[0]), method="sft")
    assert "change" not in text
    assert "wins" not in text
    assert row(text, "gold score  ")[0] == "0.91"


def test_a_report_of_almost_nothing_still_prints():
    text = printed(summarise([sample("a")]), samples=[sample("a")])
    assert row(text, "length, tokens") == ["4.0"]
    assert "quality" not in text
    assert "a short reply" in text


def test_only_clear_changes_with_a_good_direction_are_coloured(summary):
    lines = printed(summary, color=True).splitlines()

    def line(label):
        return next(each for each in lines if label in each)

    green, red = "\x1b[32m", "\x1b[31m"
    assert green in line("gold score  ")
    assert red not in line("gold score  ")
    assert green not in line("training reward model")
    worse = printed(summarise(policy(False)[0], policy(True)[0]), color=True).splitlines()
    assert red in next(each for each in worse if "gold score  " in each)


def test_replies_are_the_first_of_each_kind_in_turn(joined):
    assert [each.prompt.id for each in pick(joined, 4)] == ["benign0", "lookalike0", "harmful0", "benign1"]
    assert len(pick(joined, 100)) == len(joined)
    assert pick([], 3) == []
    assert pick(joined, 0) == []


def test_replies_are_shown_verbatim_before_and_after(summary, joined):
    text = printed(summary, samples=joined, count=2)
    assert "benign: ask benign0" in text
    assert "SFT  +0.10  poor reply [benign] 0" in text
    assert "ppo  +0.90  good reply [benign] 0" in text
    assert "harmful0" not in text


def test_withheld_kinds_show_neither_request_nor_reply(summary, joined):
    text = printed(summary, samples=joined, count=3, withheld={"harmful"})
    assert "harmful: [request withheld]" in text
    assert "[4 tokens, refused; evaluation.reveal=true shows them]" in text
    assert "harmful0" not in text
    assert "[harmful]" not in text
    assert "[benign]" in text


def test_cut_long_and_empty_replies_say_so(summary):
    odd = [sample("a", text="word " * 200, ended=False), sample("b", text=" ", gold=0.0)]
    text = printed(summary, width=200, samples=odd)
    assert "… (cut at the length limit)" in text
    assert "(empty)" in text


def test_flags_are_listed_or_said_to_be_none(summary):
    assert "nothing stands out" in printed(summary)
    text = printed(summary, flags=[Flag("x", "KL is 9 nats [sic].")])
    assert "! KL is 9 nats [sic]." in text
    assert "nothing stands out" not in text


def test_result_holds_everything_and_reads_back(tmp_path, summary):
    content = result(
        summary,
        flags=[Flag("length", "Replies are long.")],
        costs={"seconds": 12.5, "labels": 8000},
        conventions={"kl": "in the reward"},
        fingerprints={"data": "abc"},
        run={"algo": "ppo", "seed": 0},
    )
    write_result(tmp_path / "result.json", content)
    found = read_result(tmp_path / "result.json")
    assert found == json.loads(json.dumps(content))
    assert found["schema"] == 1
    assert found["metrics"] == summary.metrics
    assert found["errors"]["eval/gold"] == summary.method.metrics["eval/gold"].error
    assert found["sft"]["metrics"]["eval/gold"] == pytest.approx(0.11)
    assert found["change"]["eval/gold"]["mean"] == pytest.approx(0.8)
    assert found["strata"]["benign"]["gold"]["n"] == 6
    assert found["posture"]["attacks"]["persuade"]["seen"] is False
    assert found["posture"]["breach_at"]["16"]["value"] == 0.5
    assert found["wins"]["by"] == "gold"
    assert found["flags"] == [{"name": "length", "text": "Replies are long."}]
    assert (found["costs"]["labels"], found["run"]["algo"]) == (8000, "ppo")


def test_result_without_sft_says_so(tmp_path):
    content = result(summarise(policy(True)[0]))
    assert (content["sft"], content["wins"], content["change"]) == (None, None, {})
    write_result(tmp_path / "result.json", content)


def test_a_figure_that_is_not_finite_is_refused(tmp_path, summary):
    with pytest.raises(StoreError, match=r"result.json cannot hold a number that is not finite"):
        write_result(tmp_path / "result.json", result(summary, costs={"seconds": math.nan}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_broken_result_is_named(tmp_path, text):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(StoreError, match=r"result.json is no result of a finished run"):
        read_result(tmp_path / "result.json")


def test_an_absent_result_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"result.json is no result of a finished run: .*No such file"):
        read_result(tmp_path / "result.json")


def test_another_version_is_refused(tmp_path):
    (tmp_path / "result.json").write_text('{"schema": 7}')
    with pytest.raises(StoreError, match="has schema version 7, this version of alignlab reads 1"):
        read_result(tmp_path / "result.json")
