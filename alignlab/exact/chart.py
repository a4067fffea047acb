"""A drawing of reward against drift as SVG: curves of what is possible, a marker for each place methods arrive at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from alignlab.exact.frontier import Place

GROUPS = ("pairs", "pairs, no reference", "single labels", "own samples")
"""What methods learn from; the number of a group is that of its colour and shape."""
TOGETHER = 9.0
"""Markers nearer than this, in pixels, become one."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""
LETTER, LINE = 6.3, 13.0
"""Size of a letter of a label, in pixels."""


@dataclass(frozen=True)
class Dot:
    """One method."""

    name: str
    group: str
    place: Place


@dataclass(frozen=True)
class Curve:
    """A line through places, with a name at its end."""

    name: str
    kind: str
    places: Sequence[Place]


@dataclass
class Cluster:
    """Methods at one place of the drawing."""

    x: float
    y: float
    dots: list[Dot]


class Chart:
    """Axes of a drawing of given size."""

    left, right, top, bottom = 46.0, 14.0, 14.0, 40.0

    def __init__(self, width: int, height: int, dots: Sequence[Dot], curves: Sequence[Curve]) -> None:
        self.width, self.height, self.dots, self.curves = width, height, dots, curves
        places = [dot.place for dot in dots] + [place for curve in curves for place in curve.places]
        self.most = max(place.drift for place in places) * 1.04
        rewards = [place.reward for place in places]
        spread = (max(rewards) - min(rewards)) or 1.0
        self.low, self.high = min(rewards) - 0.06 * spread, max(rewards) + 0.08 * spread

    def x(self, drift: float) -> float:
        """Pixels from the left."""
        return self.left + (self.width - self.left - self.right) * drift / self.most

    def y(self, reward: float) -> float:
        """Pixels from the top."""
        inside = self.height - self.top - self.bottom
        return self.top + inside * (self.high - reward) / (self.high - self.low)

    def svg(self, title: str, start: Place, best: Place, price: float) -> str:
        """The drawing. `start`: the reference; `best`: the optimum, where the frontier has the slope `price`."""
        body = [*self._axes(), *self._tangent(best, price), *(self._curve(curve) for curve in self.curves)]
        clusters = self.clusters()
        body += [self._marker(cluster) for cluster in clusters]
        names = [self._named("reference", start, (8.0, 17.0), "start"), self._named("π*", best, (-9.0, -7.0), "end")]
        body += [mark for mark, _ in names]
        body += self._labels(clusters, [box for _, box in names])
        size = f'viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(title)}"'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(body)}</svg>'

    def clusters(self) -> list[Cluster]:
        """Dots that would cover each other, gathered; the largest gatherings last, so that they lie on top."""
        found: list[Cluster] = []
        for dot in self.dots:
            x, y = self.x(dot.place.drift), self.y(dot.place.reward)
            near = next((c for c in found if abs(c.x - x) < TOGETHER and abs(c.y - y) < TOGETHER), None)
            if near is None:
                found.append(Cluster(x, y, [dot]))
            else:
                near.dots.append(dot)
        return sorted(found, key=lambda cluster: len(cluster.dots))

    def _axes(self) -> Iterable[str]:
        base, end = self.height - self.bottom, self.width - self.right
        for tick in ticks(0.0, self.most):
            x = self.x(tick)
            yield f'<path class="grid" d="M{x:.1f} {self.top}V{base}"/>'
            yield f'<text class="tick" x="{x:.1f}" y="{base + 16:.1f}" text-anchor="middle">{tick:g}</text>'
        for tick in ticks(self.low, self.high):
            y = self.y(tick)
            yield f'<path class="grid" d="M{self.left} {y:.1f}H{end}"/>'
            yield f'<text class="tick" x="{self.left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
        middle = (self.left + end) / 2
        yield f'<text class="axis" x="{middle:.0f}" y="{self.height - 6}" text-anchor="middle">{X_AXIS}</text>'
        centre = (self.top + base) / 2
        place = f'x="12" y="{centre:.0f}" transform="rotate(-90 12 {centre:.0f})"'
        yield f'<text class="axis" {place} text-anchor="middle">{Y_AXIS}</text>'

    def _tangent(self, touch: Place, price: float) -> Iterable[str]:
        """All places of the same E[r] - price KL as the touching one."""
        value = touch.reward - price * touch.drift
        start, end = max(0.0, (self.low - value) / price), min(self.most, (self.high - value) / price)
        ends = [(self.x(drift), self.y(value + price * drift)) for drift in (start, end)]
        yield '<path class="tangent" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>'.format(*ends[0], *ends[1])

    def _curve(self, curve: Curve) -> str:
        points = " ".join(f"{self.x(p.drift):.1f},{self.y(p.reward):.1f}" for p in curve.places)
        return f'<polyline class="{curve.kind}" points="{points}"><title>{escape(curve.name)}</title></polyline>'

    def _marker(self, cluster: Cluster) -> str:
        names = ", ".join(dot.name for dot in cluster.dots)
        kinds = {dot.group for dot in cluster.dots}
        number = GROUPS.index(cluster.dots[0].group) if len(kinds) == 1 else len(GROUPS)
        first = cluster.dots[0].place
        words = f"{names}: KL {first.drift:.2f}, E[r] {first.reward:.2f}"
        shape = SHAPES[number].format(x=cluster.x, y=cluster.y)
        mark = f'<g class="g{number}">{shape}<title>{escape(words)}</title></g>'
        return f'<a href="#{escape(cluster.dots[0].name)}">{mark}</a>'

    def _named(self, name: str, at: Place, shift: tuple[float, float], anchor: str) -> tuple[str, Box]:
        """A ring around a place that is no method's, with its name, and the box that the name fills."""
        x, y = self.x(at.drift), self.y(at.reward)
        left, base = x + shift[0], y + shift[1]
        text = f'<text class="landmark" x="{left:.1f}" y="{base:.1f}" text-anchor="{anchor}">{name}</text>'
        width = 1.15 * LETTER * len(name)
        start = left if anchor == "start" else left - width
        ring = f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="8.5"/>'
        return ring + text, (start, base - LINE + 3, start + width, base + 3)

    def _labels(self, clusters: Sequence[Cluster], known: Sequence[Box]) -> Iterable[str]:
        """Names where they cover neither a marker nor each other; those of the largest gatherings come first."""
        taken = [(c.x - 5, c.y - 5, c.x + 5, c.y + 5) for c in clusters] + list(known)
        for cluster in reversed(clusters):
            names = [dot.name for dot in cluster.dots]
            offers = (offer for shown in (3, 2, 1) for offer in self._offers(cluster, shortened(names, shown)))
            free = (
                offer for offer in offers if self._inside(offer[0]) and not any(_overlap(offer[0], t) for t in taken)
            )
            for box, text in free:
                taken.append(box)
                yield text
                break

    def _inside(self, box: Box) -> bool:
        return self.left < box[0] and box[2] < self.width - 2 and box[1] > 2 and box[3] < self.height - self.bottom

    def _offers(self, cluster: Cluster, text: str) -> Iterable[tuple[Box, str]]:
        """Boxes around a marker that a text could fill, best first, with the text set there."""
        width = len(text) * LETTER
        for dx, dy in ((9, 4), (-9, 4), (0, 17), (0, -9), (8, 15), (8, -8), (-8, 15), (-8, -8)):
            x, y = cluster.x + dx, cluster.y + dy
            anchor = "start" if dx > 0 else "end" if dx < 0 else "middle"
            start = x - {"start": 0.0, "end": width, "middle": width / 2}[anchor]
            set_ = f'<text class="label" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
            yield (start, y - LINE + 3, start + width, y + 3), set_


X_AXIS = "KL(π‖π<tspan class='sub'>ref</tspan>), nats a completion"
Y_AXIS = "E[r], expected reward"
SHAPES = (
    '<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>',
    '<rect x="{x:.1f}" y="{y:.1f}" width="8.4" height="8.4" transform="translate(-4.2 -4.2)"/>',
    '<path d="M{x:.1f} {y:.1f}m0 -5.4l5.2 9h-10.4z"/>',
    '<path d="M{x:.1f} {y:.1f}m0 -5.8l5.8 5.8l-5.8 5.8l-5.8 -5.8z"/>',
    '<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5"/>',
)
"""By group; the last is for methods of several."""


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers within a range."""
    step = next(s for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0) if (high - low) / s <= 7)
    first = -(-low // step)
    return [round((first + k) * step, 6) for k in range(8) if (first + k) * step <= high]


def shortened(names: Sequence[str], shown: int) -> str:
    """The first names, and how many more there are."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" +{rest}" if rest > 0 else "")


def legend(counts: Mapping[str, int]) -> str:
    """Shapes and what they stand for."""
    entries = []
    for number, name in enumerate((*GROUPS, "several kinds")):
        if counts.get(name):
            shape = SHAPES[number].format(x=7, y=7)
            entries.append(
                f'<span><svg viewBox="0 0 14 14" class="key"><g class="g{number}">{shape}</g></svg>{name}</span>'
            )
    return "".join(entries)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
