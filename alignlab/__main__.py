"""`python -m alignlab algo=ppo`: verbs, expected errors as one-screen messages, exit codes.

Exit codes: 0 done, 1 a run failed, 2 the request cannot work as typed, 130 interrupted.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence

from alignlab.errors import AlignlabError

HELP = """\
alignlab trains and compares ways of aligning a language model.

  python -m alignlab algo=ppo                  run one method on the embedded desk world
  python -m alignlab algo=dpo model=hf model.path=DIR data=hh data.path=FILE
  python -m alignlab -m algo=ppo,dpo seed=0,1  a sweep
  python -m alignlab methods [NAME]            what is installed; equation, parameters, paper of one
  python -m alignlab plan algo=ppo             what would be computed, what is found in the store
  python -m alignlab cache ls|verify|prune|why the stage store

Overrides are key=value, as in algo.beta=0.1, data.pairs=4000, seed=1, trainer=gpu, tracking=wandb.
`--cfg job` prints the whole configuration of a run; `--hydra-help` what Hydra itself understands.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Dispatch a verb; `run` is the default. Returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    warnings.showwarning = _one_line_warning
    try:
        return _dispatch(arguments)
    except AlignlabError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 130


def _dispatch(arguments: list[str]) -> int:
    if {"-h", "--help"} & set(arguments) and (not arguments or arguments[0] not in VERBS):
        print(HELP + _groups())
        return 0
    if arguments and arguments[0] in VERBS:
        return VERBS[arguments[0]](arguments[1:])
    return _run(arguments[1:] if arguments[:1] == ["run"] else arguments)


def _groups() -> str:
    from alignlab import registry
    from alignlab.compose import conf_folder

    lines = ["\nGroups and their options:"]
    for folder in sorted(path for path in conf_folder().iterdir() if path.is_dir()):
        names = [path.stem for path in sorted(folder.glob("*.yaml"))]
        if names and folder.name != "tuned":
            lines.append(f"  {folder.name:<11} {', '.join(names)}")
    lines.append(f"  {'algo':<11} {', '.join(sorted(registry.presets()))}")
    return "\n".join(lines)


def _run(arguments: list[str]) -> int:
    from alignlab.launch.hydra_main import launch

    return launch(arguments)


def _methods(arguments: list[str]) -> int:
    from alignlab.catalogue import show

    return show(arguments)


def _cache(arguments: list[str]) -> int:
    from alignlab.stages.cache import main as cache

    return cache(arguments)


def _plan(arguments: list[str]) -> int:
    from alignlab.launch.plan import plan

    return plan(arguments)


VERBS: dict[str, Callable[[list[str]], int]] = {"methods": _methods, "cache": _cache, "plan": _plan}


def _one_line_warning(message: Warning | str, category: type[Warning], *rest: object, **more: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
