"""What is asked in which order: balanced, blind, repeated, and the same for the same seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from label_inputs import planned, rows, run, three

from alignlab.compare.intervals import wilson


def test_a_seed_decides_everything(tmp_path: Path) -> None:
    file = three(tmp_path / "x.jsonl", 20)
    once, again = planned(file, repeat=0.2, seed=3), planned(file, repeat=0.2, seed=3)
    assert once == again
    other = planned(file, repeat=0.2, seed=4)
    assert [each.item for each in other.showings] != [each.item for each in once.showings]


def test_two_methods_at_a_time_each_as_often_as_the_others(tmp_path: Path) -> None:
    asked = planned(three(tmp_path / "x.jsonl", 20), count=31)
    pairs = Counter(tuple(each.method for each in showing.completions) for showing in asked.showings)
    assert sorted(pairs.values()) == [10, 10, 11]
    assert set(pairs) == {("red", "green"), ("red", "blue"), ("green", "blue")}
    assert len({showing.id for showing in asked.showings}) == 31


def test_places_are_drawn(tmp_path: Path) -> None:
    asked = planned(three(tmp_path / "x.jsonl", 200), count=600)
    for pair in (("red", "green"), ("red", "blue"), ("green", "blue")):
        orders = [each.order for each in asked.showings if tuple(c.method for c in each.completions) == pair]
        low, high = wilson(sum(order == (0, 1) for order in orders), len(orders), level=0.999)
        assert low < 0.5 < high
        assert low > 0.3


def test_a_ranking_shows_all_methods_up_to_six(tmp_path: Path) -> None:
    asked = planned(three(tmp_path / "x.jsonl"), rank=True)
    assert {len(showing.completions) for showing in asked.showings} == {3}
    assert len({showing.order for showing in asked.showings}) > 2
    many = rows(tmp_path / "y.jsonl", [{"prompt": "q", "completions": {f"m{n}": f"t{n}" for n in range(15)}}])
    drawn = planned(many, rank=True, count=50)
    assert {len(showing.completions) for showing in drawn.showings} == {6}
    counts = Counter(each.method for showing in drawn.showings for each in showing.completions)
    assert len(counts) == 15


def test_repeats_come_later_with_the_order_turned_round(tmp_path: Path) -> None:
    asked = planned(three(tmp_path / "x.jsonl", 40), count=100, repeat=0.1)
    place = {showing.id: number for number, showing in enumerate(asked.showings)}
    again = [showing for showing in asked.showings if showing.repeat_of]
    assert len(again) == 10
    for showing in again:
        first = asked.showings[place[showing.repeat_of or ""]]
        assert place[showing.id] - place[first.id] >= 10
        assert showing.order == first.order[::-1]
        assert (showing.item, showing.completions) == (first.item, first.completions)
        assert showing.id != first.id


@pytest.mark.parametrize(("count", "share", "repeats"), [(1, 0.1, 1), (2, 1.0, 1), (5, 0.0, 0), (7, 1.0, 4)])
def test_repeats_of_short_sessions(count: int, share: float, repeats: int, tmp_path: Path) -> None:
    asked = planned(three(tmp_path / "x.jsonl", 20), count=count, repeat=share)
    assert sum(showing.repeat_of is not None for showing in asked.showings) == repeats
    seen: set[str] = set()
    for showing in asked.showings:
        assert showing.repeat_of is None or showing.repeat_of in seen
        seen.add(showing.id)


def test_identical_completions_are_not_asked_about(tmp_path: Path) -> None:
    content = [{"prompt": f"q{n}", "completions": {"a": "same", "b": "same " if n else "other"}} for n in range(3)]
    asked = planned(rows(tmp_path / "x.jsonl", content))
    assert len(asked.showings) == 1
    assert asked.identical == 2


def test_a_ranking_shows_equal_texts_once(tmp_path: Path) -> None:
    content = [{"prompt": f"q{n}", "completions": {"a": "same", "b": "same", "c": "other"}} for n in range(30)]
    asked = planned(rows(tmp_path / "x.jsonl", content), rank=True)
    kept = Counter(showing.completions[0].method for showing in asked.showings)
    assert {len(showing.completions) for showing in asked.showings} == {2}
    assert set(kept) == {"a", "b"}


def test_runs_of_one_seed_meet_and_every_seed_is_used(tmp_path: Path) -> None:
    for name in ("red", "green"):
        for seed in (0, 1, 2):
            run(tmp_path / f"{name}{seed}", name, seed=seed, count=4)
    asked = planned(tmp_path, count=1000)
    assert len(asked.showings) == 12
    assert all(len({each.seed for each in showing.completions}) == 1 for showing in asked.showings)
    assert Counter(showing.completions[0].seed for showing in asked.showings) == {0: 4, 1: 4, 2: 4}
    first_four = [showing.prompt.id for showing in asked.showings[:4]]
    assert len(set(first_four)) == 4


def test_text_that_is_no_unicode_is_planned_too(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"prompt": "q", "completions": ["\\ud800 x", "y"]}\n')
    assert len(planned(tmp_path / "x.jsonl").showings) == 1
