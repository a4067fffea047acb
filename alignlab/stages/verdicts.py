"""The run's judge of refusals: who it is, what its verdicts depend on, and how well it agrees with people.

How well is known where `judge-check` measured the same judge, with the same settings, code and models, into this
store: `judges/‹address›/measured/‹labels›.json`, a record for each set of labels. Judging is no work of a method, so
it is not counted as such.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from alignlab import registry
from alignlab.data.schema import Prompt, Verdict
from alignlab.errors import StoreError
from alignlab.judges.config import DetectorConfig
from alignlab.judges.verdicts import Judge
from alignlab.stages.fingerprint import source_hashes
from alignlab.stages.key import StageKey
from alignlab.work import uncounted

SCHEMA = 1
"""Version of a measured record; any other counts as not measured."""
PLACE = "judges"
"""Folder of the store."""
MEASURED = "measured"
"""Folder of a judge that holds its records."""


class RunJudge:
    """A judge that is loaded when the first reply is to be judged.

    `policy` gives the artefact of the SFT policy, `loaded` makes it a model; both are asked only where the settings
    say that hidden states of it are read. `more` goes to the judge as it is.
    """

    def __init__(
        self,
        config: DetectorConfig,
        source: Any,
        store: Path | str,
        device: str,
        *,
        policy: Callable[[], Any] | None = None,
        loaded: Callable[[Any], Any] | None = None,
        **more: Any,
    ) -> None:
        self.config, self.source, self.device = config, source, device
        self.store, self._policy, self._loaded, self._more = Path(store), policy, loaded, more

    @property
    def name(self) -> str | None:
        """The judge's name: that of the source's own, or its kind; None where nobody judges."""
        return self.source.judge() if self.config.reads_source else self.config.kind

    @property
    def exact(self) -> bool:
        """Whether its verdicts are the truth, as a source's own are."""
        return self.config.reads_source and self.name is not None

    def address(self) -> dict[str, Any]:
        """What its verdicts depend on, for the keys of stages."""
        return dict(self._address)

    @cached_property
    def _address(self) -> dict[str, Any]:
        config, name = self.config, self.name
        targets = [] if name is None else [registry.component("judges", name).target]
        found = {"name": name, "settings": config.address(), "code": source_hashes(*targets)}
        if config.reads_policy:
            assert self._policy is not None
            found["policy"] = self._policy().content
        return found

    @property
    def folder(self) -> Path:
        """What the store keeps of this judge."""
        return self.store / PLACE / self._digest

    def record(self, labels: Sequence[str]) -> Path:
        """Where `judge-check` puts what it measured of this judge on labels, by the SHA-256 of each of their files."""
        return self.folder / MEASURED / f"{StageKey('labels', {'files': sorted(labels)}).digest}.json"

    @cached_property
    def _digest(self) -> str:
        return StageKey("judge", self._address).digest

    def check(self) -> dict[str, Any] | None:
        """Its measured agreement with people, on the labels with most replies that it judged.

        None where it is exact, or nobody has measured it in this store: nothing judged is nothing measured.
        """
        if self.exact or self.name is None:
            return None
        measured = [dict(found["measured"]) for found in records(self.folder)]
        return max((each for each in measured if each["n"]), key=lambda each: each["n"], default=None)

    def described(self) -> dict[str, Any]:
        """What result.json says of it."""
        return {"name": self.name, "exact": self.exact, "check": self.check()}

    def verdicts(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[Verdict | None]:
        """A verdict on each reply to its prompt; None for what was not judged."""
        if self.name is None:
            return [None] * len(texts)
        with uncounted():
            return list(self._judge(prompts, texts))

    @cached_property
    def _judge(self) -> Judge:
        config = self.config
        read = {}
        if config.reads_policy:
            assert self._policy is not None
            assert self._loaded is not None
            read = {"policy": self._loaded(self._policy())}
        judge: Judge = registry.component("judges", config.kind).load()(
            config,
            source=self.source,
            folder=self.folder,
            device=self.device,
            **read,
            **self._more,
        )
        return judge


def build(graph: Any, device: str) -> RunJudge:
    """The judge of a run."""
    settings, base = graph.settings, graph.base
    return RunJudge(
        settings.judge,
        graph.source,
        settings.store,
        device,
        policy=lambda: graph.sft,
        loaded=graph.policy,
        tokenizer=base.tokenizer,
        template=base.template,
    )


def records(folder: Path) -> list[Mapping[str, Any]]:
    """Every measured record of one judge, by its folder, in an order that does not change."""
    found = (read_record(path) for path in sorted((folder / MEASURED).glob("*.json")))
    return [each for each in found if each is not None]


def read_record(path: Path) -> Mapping[str, Any] | None:
    """A measured record, or None for one of another version. StoreError for a file that is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if found["schema"] == SCHEMA and found["measured"] is not None else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} is no record of judge-check: {error}", "remove it, and measure the judge again"
        ) from error
