from __future__ import annotations

import io

import pytest
from rich.console import Console

from alignlab.tracking.progress import PLAIN_SECONDS, REDRAW_SECONDS, Stage, duration, figures, rate, track


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def plain() -> Console:
    return Console(file=io.StringIO(), width=80)


@pytest.fixture
def terminal() -> Console:
    return Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)


def text(console: Console) -> str:
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0.0 s"), (4.24, "4.2 s"), (9.96, "10 s"), (99.4, "99 s"), (125, "2:05 min"), (3723.4, "1:02:03 h")],
)
def test_durations(seconds, expected):
    assert duration(seconds) == expected


def test_rates_and_figures():
    assert (rate(12345.6), rate(9.876), rate(0.0123)) == ("12,346", "9.88", "0.0123")
    assert figures({"train/loss": 0.12345, "kl": 12.0}) == "loss 0.123  kl 12"


def test_a_log_gets_one_line_every_ten_seconds_and_one_at_the_end(plain, clock):
    with Stage("ppo", 30, patience=0, console=plain, clock=clock) as stage:
        for step in range(1, 31):
            clock.now += 1.0
            stage.update(step, samples=64 * step, metrics={"train/loss": 1 / step})
    lines = text(plain).splitlines()
    assert lines == [
        "ppo  1/30  64 samples/s  loss 1  29 s left",
        "ppo  11/30  64 samples/s  loss 0.0909  19 s left",
        "ppo  21/30  64 samples/s  loss 0.0476  9.0 s left",
        "ppo  30/30  64 samples/s  loss 0.0333  in 30 s",
    ]
    assert PLAIN_SECONDS == 10


def test_what_is_over_soon_is_not_mentioned(plain, clock):
    with Stage("rollouts", 4, console=plain, clock=clock) as stage:
        for step in range(1, 5):
            clock.now += 0.4
            stage.update(step)
    assert text(plain) == ""


def test_what_takes_longer_is(plain, clock):
    with Stage("rollouts", 4, console=plain, clock=clock) as stage:
        for step in range(1, 5):
            clock.now += 0.7
            stage.update(step)
    assert text(plain).splitlines() == [
        "rollouts  3/4  1.43 steps/s  0.7 s left",
        "rollouts  4/4  1.43 steps/s  in 2.8 s",
    ]


def test_an_exception_leaves_stopped(plain, clock):
    stage = Stage("dpo", 10, patience=0, console=plain, clock=clock)
    clock.now += 1

    def train():
        with stage:
            stage.update(3)
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        train()
    assert text(plain).splitlines()[-1] == "dpo  3/10  3 steps/s  stopped"


def test_a_resumed_stage_reports_its_own_speed(plain, clock):
    stage = Stage("ppo", 30, patience=0, console=plain, clock=clock)
    stage.resume(20)
    stage.update(21, samples=21 * 64)
    for step in (22, 23):
        clock.now += 11
        stage.update(step, samples=step * 64)
    assert text(plain).splitlines()[-1] == "ppo  23/30  5.82 samples/s  51 s left"


def test_the_rate_counts_to_the_last_known_sample(plain, clock):
    stage = Stage("sft", 30, patience=0, console=plain, clock=clock)
    clock.now += 2
    stage.update(10, samples=320)
    clock.now += 18
    stage.update(11)
    assert "11/30  160 samples/s" in text(plain).splitlines()[-1]


def test_without_a_total_there_is_no_end_in_sight(plain, clock):
    stage = Stage("search", float("inf"), patience=0, console=plain, clock=clock)
    clock.now += 2
    stage.update(4)
    assert text(plain) == "search  4  2 steps/s\n"


def test_a_terminal_is_redrawn_at_most_eight_times_a_second(terminal, clock):
    stage = Stage("ppo", 1000, patience=0, console=terminal, clock=clock)
    drawn = 0
    for step in range(1, 1001):
        clock.now += 0.001
        drawn += stage.due()
        stage.update(step)
    stage.close()
    assert drawn == 1 / REDRAW_SECONDS
    assert text(terminal).rstrip().splitlines()[-1].endswith("ppo  1,000/1,000  1,000 steps/s  in 1.0 s")


def test_two_stages_share_the_terminal_and_leave_it_clean(terminal, clock):
    with Stage("ppo", 3, patience=0, console=terminal, clock=clock) as outer:
        clock.now += 1
        outer.update(1)
        with Stage("rollouts", 2, patience=0, console=terminal, clock=clock) as inner:
            clock.now += 1
            inner.update(1)
            clock.now += 1
            outer.update(2)
    shown = text(terminal)
    assert "ppo" in shown
    assert "rollouts" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1, "the cursor comes back"


def test_track_passes_items_on_and_is_silent_when_quick(capsys):
    assert list(track(iter([3, 1, 2]), "items")) == [3, 1, 2]
    assert capsys.readouterr().err == ""


def test_track_survives_a_consumer_that_stops(capsys):
    for item in track(range(10), "items"):
        if item == 2:
            break
    assert capsys.readouterr().err == ""


def test_other_processes_stay_silent(monkeypatch, plain, clock):
    monkeypatch.setenv("RANK", "1")
    with Stage("ppo", 3, patience=0, console=plain, clock=clock) as stage:
        clock.now += 20
        stage.update(1)
    assert text(plain) == ""
