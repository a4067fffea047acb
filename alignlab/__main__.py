"""`python -m alignlab algo=ppo`: verbs, expected errors as one-screen messages, exit codes.

Exit codes: 0 done, 1 a run failed, 2 the request cannot work as typed, 130 interrupted.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module

from alignlab import __version__
from alignlab.errors import AlignlabError, PluginError

HELP = """\
alignlab trains and compares ways of aligning a language model.

  python -m alignlab algo=NAME [key=value …]   run a method and what it needs
  python -m alignlab -m algo=A,B seed=0,1      a sweep: every combination
  python -m alignlab compare FOLDER …          tables and a page of runs
  python -m alignlab recommend FOLDER …        which to use, within limits
  python -m alignlab reproduce RUN             a finished run again: the same?
  python -m alignlab chat RUN                  talk to its model, beside SFT
  python -m alignlab label RUN …               say which replies are better
  python -m alignlab posture MODEL             refusals against limits, for a CI
  python -m alignlab judge-check FILE …        judges of refusals against people
  python -m alignlab methods [NAME]            what is installed; all about one
  python -m alignlab plan algo=NAME            what would be computed or reused
  python -m alignlab cache VERB                the store: ls, verify, prune, why
  python -m alignlab wandb-sync SWEEP          send offline records, and panels

Settings are key=value, as in algo.beta=0.1 data.pairs=4000 seed=1.
A GPU: trainer=gpu. Weights & Biases: tracking=wandb. Your own model and data:
  python -m alignlab algo=NAME model=hf model.path=DIR data=hh data.path=FILE
`--cfg job` prints all settings instead of running; `--hydra-help` more flags.
"""
USAGE = {
    "methods": "python -m alignlab methods [NAME …]\n\nLists what is installed; with names, prints equation, paper, "
    "parameters\nwith their ranges, conventions and known failure modes of each.",
    "plan": "python -m alignlab plan algo=NAME [key=value …]\n\nSays which stages a run would compute and which it\n"
    "finds in the store. Computes nothing.",
}
"""Help of the verbs that do not print their own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Dispatch a verb; `run` is the default. Returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    warnings.showwarning = _one_line_warning
    try:
        return _dispatch(arguments)
    except AlignlabError as error:
        if isinstance(error, PluginError) and error.__cause__ is not None:
            traceback.print_exception(error.__cause__)  # for the plugin's author
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 130


def _dispatch(arguments: list[str]) -> int:
    verb = arguments[0] if arguments and arguments[0] in VERBS else ""
    if {"-h", "--help"} & set(arguments) and (not verb or verb in USAGE):
        print(f"usage: {USAGE[verb]}" if verb else HELP + _groups())
        return 0
    if arguments == ["--version"]:
        print(f"alignlab {__version__}")
        return 0
    if verb:
        module, _, function = VERBS[verb].partition(":")
        try:
            return int(getattr(import_module(module), function)(arguments[1:]))
        except SystemExit as end:  # argparse, which has said why
            return int(end.code or 0)
    return _run(arguments[1:] if arguments[:1] == ["run"] else arguments)


def _groups() -> str:
    """Every `group=option` there is, those of plugins included."""
    from alignlab import registry
    from alignlab.compose import conf_folder

    options: dict[str, set[str]] = {"algo": set(registry.presets())}
    places = [conf_folder(), *registry.conf_folders()]
    for folder in (folder for place in places for folder in place.iterdir() if folder.is_dir()):
        options.setdefault(folder.name, set()).update(path.stem for path in folder.glob("*.yaml"))
    lines = ["\nGroups and their options:"]
    for group, names in sorted(options.items()):
        if names and group not in HIDDEN:
            lines.append(_folded(f"  {group:<11} ", sorted(names)))
    return "\n".join(lines)


def _folded(start: str, names: Sequence[str]) -> str:
    import textwrap

    return textwrap.fill(", ".join(names), 80, initial_indent=start, subsequent_indent=" " * len(start))


def _run(arguments: list[str]) -> int:
    from alignlab.launch.hydra_main import launch

    return launch(arguments)


VERBS = {
    "methods": "alignlab.catalogue:show",
    "plan": "alignlab.launch.plan:plan",
    "cache": "alignlab.stages.cache:main",
    "compare": "alignlab.launch.compared:compare",
    "recommend": "alignlab.launch.compared:recommend",
    "reproduce": "alignlab.reproduce:main",
    "chat": "alignlab.chat.main:main",
    "label": "alignlab.label.main:main",
    "posture": "alignlab.gate.main:main",
    "judge-check": "alignlab.judges.check.main:main",
    "wandb-sync": "alignlab.tracking.sync:main",
}
"""`package.module:function`, imported when the verb is asked for; each takes arguments and returns the exit code."""
HIDDEN = ("tuned", "schema", "hydra", "stages", "constitution")
"""Folders of the configuration that are not chosen by name."""


def _one_line_warning(message: Warning | str, category: type[Warning], *rest: object, **more: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
