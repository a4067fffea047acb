"""How well mixtures of one policy with SFT stand in for policies trained anew at other prices of KL.

    python -m alignlab -m algo=rloo,dpo algo.beta=0.05,0.1,0.2,0.4 seed=0,1,2
    python benchmarks/mixtures.py FOLDER [--from 0.1]

Every policy trained at another beta is held against the mixtures of the one trained at `--from`, at the KL that it has
itself (DeRa, arXiv 2402.02992). Each answers all requests of evaluation, the mixtures the first of them.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from alignlab.compare.content import listed
from alignlab.compare.frontiers import gain_at
from alignlab.compare.intervals import mean_interval
from alignlab.compare.runs import DONE, Run, read_runs
from alignlab.tracking.console import results

Known = dict[str, dict[float, dict[int, Run]]]


def by_beta(folder: Path) -> Known:
    """Runs by preset, beta and seed."""
    found: Known = defaultdict(lambda: defaultdict(dict))
    for run in read_runs([folder]):
        if run.status == DONE and "algo.beta" in run.settings:
            found[run.name][float(run.settings["algo.beta"])][run.seed] = run
    return found


def mixed(run: Run, at: float) -> float | None:
    """Gain in gold of its mixture with SFT at a KL; None where no mixture went so far."""
    points = [(max(float(each["kl"]), 0.0), float(each["gold"])) for each in listed(run.result, "frontier")]
    if not points:
        return None
    return gain_at([kl for kl, _ in points], [gold - points[0][1] for _, gold in points], at)


def table(found: Known, origin: float) -> Table:
    """One line for each preset and beta."""
    out = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for head in ("", "beta", "KL", "gain trained", "gain mixed", "trained above mixed", "seeds"):
        out.add_column(head, justify="left" if not head else "right")
    for name, betas in found.items():
        for beta in sorted(set(betas) - {origin}, reverse=True):
            rows = []
            for seed, run in betas[beta].items():
                kl, gain, start = run.metrics.get("kl"), run.gain("gold"), betas[origin].get(seed)
                told = None if start is None or kl is None else mixed(start, max(kl, 0.0))
                if kl is not None and gain is not None and told is not None:
                    rows.append((kl, gain, told))
            if not rows:
                out.add_row(name, f"{beta:g}", "", "", "beyond its reach", "", "0")
                continue
            kl, gain, told = (sum(column) / len(rows) for column in zip(*rows, strict=True))
            gap = mean_interval([one - other for _, one, other in rows])
            span = "" if gap.low is None or gap.high is None else f" [{gap.low:+.2f}, {gap.high:+.2f}]"
            out.add_row(
                name,
                f"{beta:g}",
                f"{kl:.2f}",
                f"{gain:+.2f}",
                f"{told:+.2f}",
                f"{gap.value:+.2f}{span}",
                str(len(rows)),
            )
    return out


def main() -> None:
    """Read the sweep and show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of a sweep over algo.beta and seeds")
    parser.add_argument("--from", dest="origin", type=float, default=0.1, help="the beta whose mixtures are read")
    given = parser.parse_args()
    results.print(table(by_beta(given.folder), given.origin))


if __name__ == "__main__":
    main()
