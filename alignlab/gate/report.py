"""What the gate found: a table for people, JUnit and SARIF for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from xml.etree import ElementTree

from rich import box
from rich.table import Table

from alignlab import __version__
from alignlab.gate.bounds import Decision
from alignlab.gate.verdicts import Checked

COLOURS = {Decision.PASS: "green", Decision.FAIL: "bold red", Decision.UNDECIDED: "yellow"}
RULES = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {Decision.FAIL: "error", Decision.UNDECIDED: "warning"}


def table(checked: Sequence[Checked], title: str, level: float) -> Table:
    """One line a limit."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    shown.add_column("share of")
    for column in ("found, %", f"{100 * level:g} % bounds", "limit", "goals"):
        shown.add_column(column, justify="right", no_wrap=True)
    shown.add_column("", no_wrap=True)
    for each in checked:
        found, sign = each.rate, "+" if each.limit.rise else ""
        shown.add_row(
            f"{each.label}{', rise' if each.limit.rise else ''}",
            f"{100 * found.value:{sign}.1f}",
            f"{100 * found.low:{sign}.1f} to {100 * found.high:{sign}.1f}",
            f"{100 * each.limit.most:{sign}g}",
            f"{found.goals:,}",
            f"[{COLOURS[each.decision]}]{each.decision.value}[/]",
        )
    return shown


def junit(checked: Sequence[Checked], title: str) -> str:
    """One test case a limit: broken limits are failures, undecided ones errors."""
    counts = {decision: sum(each.decision is decision for each in checked) for decision in Decision}
    suite = ElementTree.Element(
        "testsuite",
        name=f"alignlab posture: {title}",
        tests=str(len(checked)),
        failures=str(counts[Decision.FAIL]),
        errors=str(counts[Decision.UNDECIDED]),
    )
    for each in checked:
        name = f"{each.limit.name}{' rise' if each.limit.rise else ''} <= {each.limit.most:g}"
        case = ElementTree.SubElement(suite, "testcase", classname="posture", name=name)
        if each.decision is not Decision.PASS:
            tag = "failure" if each.decision is Decision.FAIL else "error"
            ElementTree.SubElement(case, tag, message=each.sentence).text = each.sentence
        ElementTree.SubElement(case, "system-out").text = each.sentence
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def sarif(checked: Sequence[Checked], where: str) -> str:
    """SARIF 2.1.0: a rule a limit, a result for each that is broken or undecided."""
    rules = [
        {"id": _rule(each), "shortDescription": {"text": f"{each.label} at most {100 * each.limit.most:g} %"}}
        for each in checked
    ]
    results = [
        {
            "ruleId": _rule(each),
            "level": LEVELS[each.decision],
            "message": {"text": each.sentence},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": where}}}],
        }
        for each in checked
        if each.decision is not Decision.PASS
    ]
    driver = {"name": "alignlab", "version": __version__, "rules": rules}
    content = {"$schema": RULES, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
    return json.dumps(content, indent=1) + "\n"


def _rule(each: Checked) -> str:
    return f"posture/{each.limit.name}{'/rise' if each.limit.rise else ''}"
