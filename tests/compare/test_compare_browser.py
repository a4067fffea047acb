"""The page in a real browser: hostile replies run nothing, and what a reader clicks does what it says."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import chromium
import pytest
from contents import HOSTILE, comparison, hostile

from alignlab.compare.page import digest, page

FLAGS = (*chromium.FLAGS, "--virtual-time-budget=6000", "--window-size=1280,900")
pytestmark = [pytest.mark.slow, chromium.needed]
DRIVER = Path(__file__).with_name("reader.js").read_text("utf-8")


def rendered(text: str, folder: Path) -> str:
    """The document after its scripts ran."""
    path = folder / "page.html"
    path.write_text(text, encoding="utf-8")
    command = [chromium.PROGRAM, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    return done.stdout


def driven(text: str, driver: str) -> str:
    """The page with one more script, admitted by its hash, that uses it as a reader would."""
    text = text.replace("script-src '", f"script-src '{digest(driver)}' '", 1)
    return text.replace("</body>", f"<script>{driver}</script></body>")


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    content = comparison(betas=(0.1, 0.3), examples=40)
    dom = rendered(driven(page(content), DRIVER), tmp_path_factory.mktemp("used"))
    probe = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.S)
    assert probe, dom[-2000:]
    return content, json.loads(html.unescape(probe[1]))


def test_hostile_texts_run_nothing_and_are_shown(tmp_path: Path) -> None:
    dom = rendered(page(hostile()), tmp_path)
    shown = html.unescape(dom)
    assert re.search(r"<html[^>]* data-ready", dom), "the page's own script ran to its end"
    assert '<p class="notice">This part' not in dom
    title = re.search(r"<title>(.*?)</title>", dom, re.S)
    assert title
    assert html.unescape(title[1]).startswith(HOSTILE[1]), "the title is still the one that was written"
    assert dom.count("<script") == 2, "the data and the page's own script, no third"
    assert not re.search(r"<(img|iframe|base|svg[^>]* onload)\b", re.sub(r"<script.*?</script>", "", dom, flags=re.S))
    for bad in HOSTILE[:5]:
        assert f"viewer saw {bad}" in shown, "the viewer shows the reply as text"


def test_hostile_text_would_be_noticed(tmp_path: Path) -> None:
    """The check above can fail: the same texts in a careless page do run."""
    dom = rendered(f"<html><body>{HOSTILE[2]}</body></html>", tmp_path)
    assert "<title>owned</title>" in dom


def test_policy_stops_a_script_that_got_in(tmp_path: Path) -> None:
    text = page(comparison(betas=(0.1,), examples=2)).replace("</body>", f"{HOSTILE[0]}{HOSTILE[2]}</body>")
    assert "<title>owned</title>" not in rendered(text, tmp_path)


def test_leaderboard_sorts_filters_and_changes_columns(used: tuple[dict[str, Any], dict[str, Any]]) -> None:
    content, seen = used
    known = {row["label"]: row["metrics"] for row in content["rows"]}
    assert seen["failed"] == []
    golds = [known[name]["gold"]["mean"] for name in seen["first"][:-2]]
    assert golds == sorted(golds, reverse=True)
    drift = [known[name]["kl"]["mean"] for name in seen["byKl"] if "kl" in known[name]]
    assert drift == sorted(drift, reverse=True)
    assert [name for name in seen["byKlUp"] if "kl" in known[name]] == [
        name for name in reversed(seen["byKl"]) if "kl" in known[name]
    ]
    assert all(names[-1].endswith("everything") for names in (seen["byKl"], seen["byKlUp"])), "unknown ones stay last"
    assert "peak_memory" in seen["cost"]
    assert "breach" not in seen["cost"]
    assert "peak_memory" not in seen["overview"]
    assert {"gold", "kl", "breach", "refusal_lookalike", "seeds", "flags"} <= set(seen["overview"])
    assert sorted(seen["found"]) == ["dpo β=0.1", "dpo β=0.3"]


def test_tooltips_come_on_focus_and_on_pointing(used: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, seen = used
    assert "gain" in seen["tipOnFocus"]
    assert seen["walked"]
    assert seen["tipAfter"] is True
    assert "seed 0" in seen["tipOnHover"]
    assert len(seen["same"]) > 10
    assert set(seen["same"]) == {"0"}


def test_choices_redraw(used: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, seen = used
    assert seen["proxyMoved"]
    assert seen["yLabel"].startswith("training score")
    assert int(seen["raw"]) > int(seen["controlled"]) > 50
    assert len(seen["effects"]) == 23, "all but the reference"
    assert "ppo β=0.1" not in seen["effects"]
    assert seen["theme"] == "dark"
    assert seen["ground"] == "rgb(22, 22, 21)"
    assert seen["wide"] <= 0, "nothing is wider than the window"


def test_conditions_are_drawn(used: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, seen = used
    assert seen["improvement"] == ["", "100", "100"]
    assert seen["profiles"] == 12
    assert seen["profile"].startswith("ppo, 100.0 % of runs gain more than 0.00, 95 % interval 90.0 to 100.0 %")


def test_chart_shows_the_over_refusal_that_the_posture_counted(tmp_path: Path) -> None:
    """The row's own figure is over evaluation prompts, which may lack kinds of attack: mean and interval agree."""
    content = comparison(betas=(0.1,), examples=2)
    for row in content["posture"]["rows"]:
        row["over"] = {"lookalike": {"mean": 0.775, "low": 0.655, "high": 0.835, "by_seed": {}, "unit": "requests"}}
    assert "look-alike refused 77.5 % (65.5 to 83.5)" in html.unescape(rendered(page(content), tmp_path))


def test_viewer_filters_and_orders(used: tuple[dict[str, Any], dict[str, Any]]) -> None:
    content, seen = used
    harmful = [each for each in content["examples"] if each["kind"] == "harmful"]
    assert seen["status"] == f"5 of {len(harmful)} requests (40 in all)"
    assert seen["gaps"] == sorted(seen["gaps"], reverse=True)
    assert seen["withheld"] > 0


def test_phone_needs_no_sideways_scrolling(tmp_path: Path) -> None:
    """In a frame of 390 pixels, since headless windows have a least width."""
    text = page(comparison(betas=(0.1,), examples=6))
    root = "document.documentElement"
    driver = f"parent.postMessage({root}.scrollWidth - {root}.clientWidth, '*')"
    (tmp_path / "inner.html").write_text(driven(text, driver), encoding="utf-8")
    frame = "<iframe src='inner.html' width='390' height='800'></iframe>"
    outer = f"{frame}<script>onmessage = event => {{ document.title = 'too wide by ' + event.data; }};</script>"
    assert "<title>too wide by 0</title>" in rendered(outer, tmp_path)
