"""What users write is committed: a changed key, option or verb shows as a diff of tests/surface.txt.

`python tests/test_surface.py` accepts the present state.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from alignlab import registry
from alignlab.__main__ import HIDDEN, VERBS
from alignlab.compose import composed, conf_folder
from alignlab.docs import shipped

FILE = Path(__file__).with_name("surface.txt")
NEEDED = {
    "hf": ["model.path=x"],
    "hh": ["data.path=x"],
    "files": ["data.path=x"],
    "hub": ["data.dataset=x"],
    "directory": ["reward.path=x"],
    "rule": ["reward.rules=[{pattern: x}]"],
    "composite": ["reward.parts=[{kind: learned}]"],
    "annotator=endpoint": ["annotator.base_url=http://127.0.0.1:1/v1", "annotator.model=x"],
    "annotator=model": ["annotator.path=x"],
    "judge=endpoint": ["judge.base_url=http://127.0.0.1:1/v1", "judge.model=x"],
    "judge=model": ["judge.path=x"],
    "judge=transformers": ["judge.path=x", "judge.verdicts={a: refused, b: complied}"],
    "steps": ["budget.limit=9"],
    "sampled_tokens": ["budget.limit=9"],
    "flops": ["budget.limit=9"],
}
GROUPS = ("algo", "data", "model", "reward", "annotator", "judge")
"""Groups whose options have settings of their own."""


def leaves(cfg: DictConfig, prefix: str) -> Iterator[str]:
    for name in map(str, cfg):
        value = None if OmegaConf.is_missing(cfg, name) else cfg[name]
        if isinstance(value, DictConfig) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def needed(group: str, name: str) -> list[str]:
    """Settings without which an option does not compose."""
    return NEEDED.get(f"{group}={name}", NEEDED.get(name, []))


def options() -> Iterator[tuple[str, str]]:
    """Every group and option that comes with alignlab."""
    names = {method.name for method in shipped()}
    yield from (("algo", preset) for preset, owner in sorted(registry.presets().items()) if owner in names)
    for folder in sorted(path for path in conf_folder().iterdir() if path.is_dir() and path.name not in HIDDEN):
        yield from ((folder.name, path.stem) for path in sorted(folder.glob("*.yaml")))


def surface() -> list[str]:
    lines = [f"verb {verb}" for verb in sorted(VERBS)]
    lines += [f"option {group}={name}" for group, name in options()]
    keys = set(leaves(composed([]), ""))
    for group, name in options():
        if group in GROUPS:
            found = composed([f"{group}={name}", *needed(group, name)])[group]
            lines += [f"key {group}={name} {key}" for key in leaves(found, f"{group}.")]
    lines += [f"key {key}" for key in keys if key.partition(".")[0] not in GROUPS]
    return sorted(lines)


def test_surface_is_the_committed_one() -> None:
    committed = FILE.read_text(encoding="utf-8").splitlines()
    changed = list(difflib.unified_diff(committed, surface(), "committed", "present", lineterm="", n=0))
    assert not changed, "\n".join([*changed, "if this is meant, run `python tests/test_surface.py`"])


if __name__ == "__main__":
    FILE.write_text("\n".join(surface()) + "\n", encoding="utf-8")
