"""`python -m alignlab posture MODEL`: is a model within limits of breach and over-refusal?

Exit codes: 0 every limit is kept, with the upper confidence bound; 1 one is broken, with the lower; 2 undecided (unless
`--undecided=pass`), or the request cannot work as typed.
"""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Sequence
from pathlib import Path

from alignlab.errors import AlignlabError, ConfigError
from alignlab.gate.bounds import Decision
from alignlab.gate.figures import Evidence
from alignlab.gate.verdicts import Checked, Limit, check, outcome
from alignlab.judges.config import FEW
from alignlab.recorded import CONFIG, RESULT
from alignlab.stages.files import atomic_write_text
from alignlab.tracking.console import results, say

SHARES = {
    "breach": ("breach", "of attacks on harmful requests that are answered"),
    "pressed": ("pressed", "of conversations under pressure that end in an answer"),
    "over-refusal": ("refusal_lookalike", "of harmless look-alike requests refused"),
    "benign-refusal": ("refusal_benign", "of plainly harmless requests refused"),
    "wrapped-refusal": ("refusal_wrapped", "of harmless requests worded as an attack refused"),
}
"""Option -> figure and what it is a share of."""


def main(arguments: Sequence[str]) -> int:
    """The verb. Returns the exit code."""
    parser = _parser()
    given, overrides = parser.parse_known_args(list(arguments))
    strange = [each for each in overrides if each.startswith("-") or "=" not in each]
    if strange:
        parser.error(f"unrecognized argument {strange[0]}")
    try:
        limits = _limits(given)
        baseline = _baseline(given, limits)
        folder = _measured(given, overrides)
        checked = check(Evidence.read(folder), limits, baseline, given.level)
        _write(checked, given)
        _tell(checked, folder, given)
    except AlignlabError as error:
        error.exit_code = 2
        raise
    except Exception:  # 1 would say that a limit is broken
        traceback.print_exc()
        return 2
    return outcome(checked, undecided=given.undecided)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m alignlab posture",
        description="Hold a model's refusals against limits, with confidence bounds over goals. Settings of the "
        "measurement may follow as key=value, such as evaluation.goals=200 judge=phrases.",
        epilog="--max-…-rise limits by how much a share may rise over the baseline. Exit codes: 0 within every limit, "
        "1 beyond one, 2 undecided or not possible.",
    )
    parser.add_argument("model", help="folder of a run, a model directory, or an id of the hub")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=FILE", dest="sets", help="prompt set to measure on"
    )
    parser.add_argument("--baseline", type=Path, metavar="RUN", help="folder of a run that was asked the same")
    for option, (_, what) in SHARES.items():
        parser.add_argument(f"--max-{option}", type=_share, metavar="SHARE", help=f"most {what}")
        parser.add_argument(f"--max-{option}-rise", type=_change, metavar="SHARE", help=argparse.SUPPRESS)
    parser.add_argument(
        "--max-breach-at", type=_at, action="append", default=[], metavar="K:SHARE", help="most goals that break in K"
    )
    parser.add_argument("--level", type=_level, default=0.95, help="confidence of the two-sided bounds (%(default)s)")
    parser.add_argument("--undecided", choices=("fail", "pass"), default="fail", help="default: %(default)s")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the outcome as JUnit XML")
    parser.add_argument("--sarif", type=Path, metavar="FILE", help="write the outcome as SARIF")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where a new measurement goes; runs/posture/… otherwise"
    )
    return parser


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share between 0 and 1")
    return value


def _change(text: str) -> float:
    value = float(text)
    if not -1 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no change of a share between -1 and 1")
    return value


def _level(text: str) -> float:
    value = float(text)
    if not 0.5 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no level of confidence between 0.5 and 1")
    return value


def _at(text: str) -> tuple[int, float]:
    k, colon, share = text.partition(":")
    if not colon or not k.isdigit() or int(k) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not K:SHARE, as in 16:0.5")
    return int(k), _share(share)


def _limits(given: argparse.Namespace) -> list[Limit]:
    found = []
    for option, (name, _) in SHARES.items():
        attribute = f"max_{option.replace('-', '_')}"
        most, rise = getattr(given, attribute), getattr(given, f"{attribute}_rise")
        found += [Limit(name, most)] if most is not None else []
        if rise is not None and name == "pressed":
            raise ConfigError("conversations of two models differ: their rise has no limit", "pass --max-pressed")
        found += [Limit(name, rise, rise=True)] if rise is not None else []
    return found + [Limit(f"breach_at_{k}", share) for k, share in given.max_breach_at]


def _baseline(given: argparse.Namespace, limits: Sequence[Limit]) -> Evidence | None:
    if given.baseline is None:
        if any(limit.rise for limit in limits):
            raise ConfigError("a limit on a rise needs a baseline", "pass --baseline RUN")
        return None
    return Evidence.read(given.baseline)


def _measured(given: argparse.Namespace, overrides: Sequence[str]) -> Path:
    """The folder with the evidence: that of a run as it was recorded, or of a new measurement."""
    target = Path(given.model).expanduser()
    recorded = (target / CONFIG).is_file() and (target / RESULT).is_file()
    if recorded and not given.sets:
        if overrides:
            raise ConfigError(
                f"{target} was measured already, and {overrides[0]} would change nothing",
                "leave it out, or name prompt sets to measure on: --set xstest=FILE",
            )
        return target
    sets = dict(_set(each) for each in given.sets)
    if not sets:
        raise ConfigError(
            f"{given.model} is no folder of a run, and there is nothing to measure it on",
            "name prompt sets, as in --set xstest=FILE; docs/attacks.md lists them",
        )
    from alignlab.gate.measure import measure

    model = str(target / "model") if recorded else given.model
    return measure(model, sets, overrides, given.out)


def _set(text: str) -> tuple[str, str]:
    name, sign, path = text.partition("=")
    if not sign or not name or not path:
        raise ConfigError(f"--set {text} is not NAME=FILE", "write it as in --set xstest=xstest_prompts.csv")
    return name, path


def _write(checked: Sequence[Checked], given: argparse.Namespace) -> None:
    from alignlab.gate.report import junit, sarif

    if given.junit:
        atomic_write_text(given.junit, junit(checked, str(given.model)))
    if given.sarif:
        atomic_write_text(given.sarif, sarif(checked, str(given.model)))


def _tell(checked: Sequence[Checked], folder: Path, given: argparse.Namespace) -> None:
    from alignlab.gate.report import table

    if not checked:
        say(f"no limit was given; figures are in {folder / RESULT}. {_judge(folder)}")
        return
    results.print(table(checked, f"posture of {given.model}", given.level))
    say(_judge(folder))
    for each in checked:
        if each.decision is not Decision.PASS:
            results.print(f"  {each.sentence}", markup=False)


def _judge(folder: Path) -> str:
    """Who judged, and how far that can be trusted."""
    from alignlab.evaluation.result import read_result

    judge = read_result(folder / RESULT)["posture"].get("judge") or {}
    name, check = judge.get("name"), judge.get("check")
    if judge.get("exact"):
        return f"judge: {name}, exact on this data"
    if check and check.get("accuracy") is not None:
        few = " only" if check["n"] < FEW else ""
        share = f"{100 * check['accuracy']:.0f} % of {check['n']:,} replies{few}"
        return f"judge: {name}, right for {share} judged by people"
    return f"judge: {name}, unmeasured: `python -m alignlab judge-check` tells its error"
