"""The experiment as a user meets it: the command, its refusals, the table, and the page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support import alignlab
from worldly import BETA, WORLD

from alignlab.exact.cases import Case, Figures, Outcome, cases
from alignlab.exact.chart import Chart, Dot, ticks
from alignlab.exact.frontier import Place, best_of, frontier
from alignlab.exact.page import COLUMNS, figure, greek, page
from alignlab.exact.settings import ExactConfig

ASKED = ["experiment=exact", "exact.methods=[dpo,ipo,rloo,best_of_n]", "exact.steps=3", "exact.processes=1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("exact")
    return folder, alignlab(*ASKED, cwd=folder)


def made(folder: Path, name: str) -> str:
    (found,) = folder.glob(f"runs/*/*-exact-seed0/{name}")
    return found.read_text(encoding="utf-8")


def test_command_prints_a_table_and_leaves_a_page(run) -> None:
    folder, done = run
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["dpo", "optimum", "0", "0", "0", "0.044"] in rows
    assert any(row[:3] == ["ipo", "as", "predicted"] for row in rows)
    assert "best_of_n trains no policy" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "exact.html" in done.stderr
    methods = json.loads(made(folder, "exact.json"))["methods"]
    assert methods[0]["case"]["name"] == "dpo"
    assert methods[0]["figures"]["from_optimum"] < 1e-6


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given[name] or "" for name in ("href", "src") if name in given]
        if tag not in ("meta", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Nothing to close."""


def test_page_needs_nothing_but_itself(run) -> None:
    text = made(run[0], "exact.html")
    reader = Reader()
    reader.feed(text)
    assert not reader.open
    assert set(reader.ids) == {"dpo", "ipo", "rloo"}
    assert {link.removeprefix("#") for link in reader.links} <= set(reader.ids)
    assert not re.search(r"@import|url\(|<script|<link", text)
    assert "prefers-color-scheme: dark" in text
    assert "best_of_n" in text


def test_page_explains_every_column_in_a_sentence(run) -> None:
    text = made(run[0], "exact.html")
    assert all(f"<dt>{name}</dt>" in text for name in COLUMNS)
    assert "10 % of the labels" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["experiment=exakt"], "unknown experiment experiment=exakt\n  remedy: did you mean 'exact'?"),
        (
            ["experiment=exact", "exact.methods=[dp0]"],
            "exact.methods: unknown method 'dp0'\n  remedy: did you mean 'dpo'?",
        ),
        (["experiment=exact", "exact.bta=1"], "unknown setting exact.bta\n  remedy: did you mean exact.beta?"),
        (["experiment=exact", "exact.beta=0"], "exact.beta must lie in (0, inf), got 0"),
        (["experiment=exact", "exact.flip=0.6"], "exact.flip must lie in [0, 0.5], got 0.6"),
        (["experiment=exact", "algo=dpo"], "algo=dpo chooses nothing: experiment=exact trains every method"),
        (["experiment=exact", "exact.methods=[sft]"], "nothing to train: sft needs demonstrations"),
        (["experiment=exact", "+exact.variants.x={of: dpp}"], "exact.variants.x.of=dpp is no method"),
        (["experiment=exact", "+exact.variants.dpo={of: ipo}"], "exact.variants.dpo has the name of a method"),
        (["experiment=exact", "+exact.variants.x={of: dpo, bt: 1}"], "exact.variants.x: Key 'bt' not in 'DPOConfig'"),
        (["exact.beta=1"], "exact.beta has nothing to change: exact is not set"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_mistakes_are_named(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = alignlab(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("exact.html"))


def outcome(name: str, drift: float, reward: float, group: str = "pairs") -> Outcome:
    figures = Figures(0.1, 0.1, 0.05, reward, drift)
    return Outcome(
        Case(name, name, ("<twin>",)), group, True, figures, None, "ref exp(p(y > mu) / tau)", 0.0, "elsewhere", 1.0
    )


def test_drawings_are_well_formed_with_a_name_for_every_marker() -> None:
    made = [outcome(f"m{k}", 0.3 * k, 0.2 + 0.1 * k, ("pairs", "own samples")[k % 2]) for k in range(9)]
    text = page(made, [Case("x", "x", why_not="trains no policy")], WORLD, ExactConfig(), 0)
    drawings = [d for d in re.findall(r"<svg xmlns.*?</svg>", text, re.DOTALL)]
    assert len(drawings) == 2
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        labels = {each.text for each in root.iter("{http://www.w3.org/2000/svg}text")}
        assert {f"m{k}" for k in range(9)} <= labels
        assert {"reference", "π*"} <= labels
    assert "&lt;twin&gt;" in text
    assert "<twin>" not in text


def test_markers_that_would_cover_each_other_become_one() -> None:
    dots = [
        Dot("a", "pairs", Place(1.0, 1.0)),
        Dot("b", "pairs", Place(1.001, 1.0)),
        Dot("c", "pairs", Place(2.0, 1.0)),
    ]
    sizes = [len(cluster.dots) for cluster in Chart(700, 400, dots, []).clusters()]
    assert sizes == [1, 2]


def test_the_frontier_is_above_everything_and_best_of_n_close_below() -> None:
    line, best = frontier(WORLD, 200), best_of(WORLD)
    assert line[0].drift == pytest.approx(0, abs=1e-12)
    assert best[0].drift == pytest.approx(0, abs=1e-9)
    assert [place.reward for place in best] == sorted(place.reward for place in best)
    for place in best[1:]:
        beyond = [each.reward for each in line if each.drift >= place.drift]
        assert beyond[0] > place.reward
        assert beyond[0] - place.reward < 0.15


def test_best_of_n_against_all_pairs() -> None:
    """Best of two, by hand for one prompt."""
    chance, reward = WORLD.reference[0].exp(), WORLD.reward[0].round(decimals=9)
    world = WORLD._replace(**{n: v[:1] for n, v in WORLD._asdict().items() if n not in ("vocabulary", "length")})
    world = world._replace(reward=reward[None])
    expected = float((chance[:, None] * chance * reward[:, None].maximum(reward)).sum())
    assert best_of(world, 2, points=2)[1].reward == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (1e-17, "0"), (3.2e-5, "3e-5"), (0.0443, "0.044"), (2.114, "2.11"), (20.2, "20.20")]
)
def test_figures_are_short(value: float | None, text: str) -> None:
    assert figure(value) == text


def test_letters_are_written_as_letters() -> None:
    assert greek("pi* = ref exp(r / beta) - alphabet") == "π* = π<sub>ref</sub> exp(r / β) − alphabet"


def test_ticks_are_round() -> None:
    assert ticks(0, 5.7) == [0, 1, 2, 3, 4, 5]
    assert ticks(-0.07, 1.98) == [0, 0.5, 1, 1.5]


def test_presets_that_differ_in_optimisation_only_are_one_case() -> None:
    found = {case.name: case for case in cases(ExactConfig(beta=BETA))}
    assert "dpo_openrlhf" in found["dpo"].also
    assert found["sft"].why_not == "needs demonstrations"
    assert "cdpo" in found
