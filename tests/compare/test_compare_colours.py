"""The page's colours can be read and told apart, by colour-blind readers too, on light and on dark ground."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import combinations

import pytest

Colour = tuple[float, float, float]
# Machado, Oliveira and Fernandes 2009, severity 1.
SIGHTS = {
    "full": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
APART = 0.07
"""Least distance in Oklab; about 0.02 can just be seen."""


def themes() -> dict[str, dict[str, str]]:
    css = files("alignlab.compare").joinpath("assets", "page.css").read_text("utf-8")
    light, dark = (
        re.search(rf"{start} \{{(.*?)\}}", css, re.S)[1] for start in (r":root", r':root\[data-theme="dark"\]')
    )
    return {
        name: dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", text)) for name, text in (("light", light), ("dark", dark))
    }


def linear(colour: str) -> Colour:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return r, g, b


def contrast(one: str, other: str) -> float:
    light = sorted(sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear(c), strict=True)) for c in (one, other))
    return (light[1] + 0.05) / (light[0] + 0.05)


def oklab(colour: str, sight: str) -> Colour:
    r, g, b = (max(0.0, sum(w * p for w, p in zip(row, linear(colour), strict=True))) for row in SIGHTS[sight])
    long = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
    middle = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    short = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("sight", list(SIGHTS))
def test_hues_are_told_apart(theme: str, sight: str) -> None:
    hues = [themes()[theme][f"h{i}"] for i in range(8)]
    for one, other in combinations(hues, 2):
        gap = sum((a - b) ** 2 for a, b in zip(oklab(one, sight), oklab(other, sight), strict=True)) ** 0.5
        assert gap > APART, (one, other)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_and_text_stand_out(theme: str) -> None:
    found = themes()[theme]
    for ground in ("card", "ground", "faint"):
        for name in ("ink", "soft", "accent", "bad"):
            assert contrast(found[name], found[ground]) >= 4.5, (name, ground)
    for name in [*(f"h{i}" for i in range(8)), "control"]:
        assert contrast(found[name], found["card"]) >= 3.0, name
