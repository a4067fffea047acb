"""The page about the experiment: one file, which needs nothing else to be read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template

from alignlab import __version__
from alignlab.exact.cases import Case, Figures, Outcome
from alignlab.exact.chart import GROUPS, SHAPES, Chart, Curve, Dot, legend
from alignlab.exact.frontier import Place, best_of, frontier, place
from alignlab.exact.settings import ExactConfig
from alignlab.numerics.population import Population
from alignlab.worlds import exact

INTRO = (
    """\
Eight prompts, six tokens, three positions: 216 completions for each prompt, and everything about them can be computed.
The policy is a table that can hold any distribution. The policy <em>π*</em> that maximises E[r] − β
KL(π‖π<sub>ref</sub>) is known exactly, so it can be seen where each method really goes, without noise of data, networks
or tuning.
""",
    """\
Methods that learn from pairs get every pair at once, weighted by how often it is drawn and by the probability of each
label, and descend to where nothing pulls any more. Methods that sample run as they are, their own code on this table;
the noise of samples is why they stop near a point and not at it.
""",
)
CAPTION = """\
Mean over prompts. The solid line is what is possible: no policy has more reward at the same KL. The dashed line touches
it at π*; every policy on that line would be as good as π*, and how far a method lies below it is its J gap. The dotted
line is the best of 1 to 128 samples of the reference. A marker leads to its row.
"""
COLUMNS: Mapping[str, str] = {
    "method": "The preset as typed in algo=, and the presets that differ from it in nothing that matters here.",
    "arrives at": "In a few words, from the numbers beside it: the optimum or the point that theory predicts (KL up to "
    "1e-6, or 0.03 where samples make noise), a point elsewhere, near one at a kink of the loss, or none: "
    "log-probabilities run away, or nothing holds the policy and only the number of steps says where it stops, as "
    "where the reference moves along.",
    "from prediction": "KL(predicted‖π): 0 means that theory and implementation agree.",
    "from π*": "KL(π*‖π): 0 means that it finds the best trade of reward against drift.",
    "J gap": "What is lost of E[r] − β KL(π‖π<sub>ref</sub>) against π*; it equals β KL(π‖π*).",
    "E[r]": "The reward its completions get on average.",
    "drift": "KL(π‖π<sub>ref</sub>): how far it moved from the policy it started at.",
    "wrong labels": "KL(π*‖π) when {flip} of the labels are inverted: smaller than a neighbour's means more robust. "
    "Methods that read the reward itself have no labels.",
    "seconds": "Time of one core for everything in the row.",
    "predicted point": "Where the method's own theory, which comes with its plugin, says it goes; empty where there is "
    "no closed form.",
}
GREEK = dict(beta="β", tau="τ", pi="π", mu="μ", alpha="α", lambda_="λ", rho="ρ", eps="ε")
GREEK["lambda"] = GREEK.pop("lambda_")


def page(
    outcomes: Sequence[Outcome], absent: Sequence[Case], world: Population, settings: ExactConfig, seed: int
) -> str:
    """The whole page."""
    dots = [Dot(o.case.name, o.group, Place(o.figures.drift, o.figures.reward)) for o in outcomes]
    curves = [
        Curve("the most reward for each KL", "frontier", frontier(world)),
        Curve("best of 1 to 128 samples", "best", best_of(world)),
    ]
    start, best = (
        place(world.reference, world),
        place(exact.optimum(world.reference, world.reward, settings.beta), world),
    )
    title = "Expected reward against KL to the reference, one marker a method"
    kinds = {name: sum(dot.group == name for dot in dots) for name in GROUPS}
    several = any(len({d.group for d in c.dots}) > 1 for c in Chart(760, 480, dots, curves).clusters())
    template = Template(files("alignlab.exact").joinpath("page.html").read_text("utf-8"))
    return template.substitute(
        intro="".join(f"<p>{text}</p>" for text in INTRO),
        legend=legend(kinds | {"several kinds": int(several)}) + LINES,
        wide=Chart(760, 480, dots, curves).svg(title, start, best, settings.beta),
        narrow=Chart(370, 430, dots, curves).svg(title, start, best, settings.beta),
        caption=CAPTION,
        count=len(outcomes),
        head="".join(f'<th class="{_align(name)}">{name}</th>' for name in COLUMNS),
        rows="\n".join(_row(outcome, settings) for outcome in outcomes),
        columns="".join(f"<dt>{name}</dt><dd>{_text(name, settings)}</dd>" for name in COLUMNS),
        absent=_absent(absent),
        settings=_settings(settings, seed),
    )


LINES = (
    '<span><i></i>possible</span><span><i class="tangent"></i>as good as π*</span>'
    '<span><i class="best"></i>best of n samples</span>'
)


def figure(value: float | None) -> str:
    """A number as short as it can be: 0 where rounding is all there is."""
    if value is None:
        return ""
    if abs(value) < 1e-12:
        return "0"
    if abs(value) < 1e-3:
        mantissa, _, power = f"{value:.0e}".partition("e")
        return f"{mantissa}e{int(power)}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"


def cells(outcome: Outcome) -> list[str]:
    """Numbers of a row, in the order of the columns."""
    found: Figures = outcome.figures
    flipped = outcome.flipped.from_optimum if outcome.flipped else None
    numbers = [outcome.from_prediction, found.from_optimum, found.gap, found.reward, found.drift, flipped]
    return [*map(figure, numbers), f"{outcome.seconds:.1f}"]


def _align(name: str) -> str:
    return "text" if name in ("method", "arrives at", "predicted point") else "number"


def _row(outcome: Outcome, settings: ExactConfig) -> str:
    case = outcome.case
    number, name = GROUPS.index(outcome.group), escape(case.name)
    shape = SHAPES[number].format(x=7, y=7)
    shown = f'class="dot" viewBox="0 0 14 14" role="img" aria-label="{outcome.group}"'
    dot = f'<svg {shown}><g class="g{number}">{shape}</g></svg>'
    also = "".join(f"<small>{escape(note)}</small>" for note in _notes(case, settings))
    good = "good" if "optimum" in outcome.verdict else ""
    numbers = "".join(f"<td>{cell}</td>" for cell in cells(outcome))
    return (
        f'<tr id="{name}"><td class="name">{dot}{name.replace("_", "_<wbr>")}{also}</td>'
        f'<td class="text"><span class="{good}">{escape(outcome.verdict)}</span></td>'
        f'{numbers}<td class="words">{greek(escape(outcome.prediction))}</td></tr>'
    )


def _notes(case: Case, settings: ExactConfig) -> list[str]:
    """What a variant changes, and which presets are the same."""
    variant = dict(settings.variants.get(case.name, {}))
    changed = ", ".join(f"{name}={value}" for name, value in variant.items() if name != "of")
    notes = [f"{variant['of']} with {changed}"] if variant else []
    return notes + ([f"also {', '.join(case.also)}"] if case.also else [])


def greek(text: str) -> str:
    """Names of letters as letters, and the reference as π_ref."""
    for name, letter in GREEK.items():
        text = re.sub(rf"(?<![A-Za-z]){name}(?![A-Za-z])", letter, text)
    text = re.sub(r"(?<![A-Za-z_])ref(?![A-Za-z])", "π<sub>ref</sub>", text)
    return text.replace("||", "‖").replace("&gt;", "≻").replace(" - ", " − ")


def _text(name: str, settings: ExactConfig) -> str:
    return COLUMNS[name].format(flip=f"{100 * settings.flip:g} %")


def _absent(absent: Sequence[Case]) -> str:
    reasons: dict[str, list[str]] = {}
    for case in absent:
        reasons.setdefault(case.why_not, []).append(case.name)
    lines = [f"<dt>{escape(why)}</dt><dd>{escape(', '.join(names))}</dd>" for why, names in sorted(reasons.items())]
    return f"<dl>{''.join(lines)}</dl>" if lines else "<p>Nothing is left out.</p>"


def _settings(settings: ExactConfig, seed: int) -> str:
    drawn = "the reference" if settings.on_policy else "the uniform distribution"
    return (
        f"alignlab {__version__}, β = {settings.beta:g}, pairs drawn from {drawn}, {settings.steps} updates of 512 "
        f"samples where methods sample, seed {seed}. Made by <code>python -m alignlab experiment=exact</code>."
    )
