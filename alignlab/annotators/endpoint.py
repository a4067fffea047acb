"""A model behind an OpenAI-compatible HTTP endpoint as annotator; `alignlab.endpoint` has how it is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alignlab.annotators import wording
from alignlab.annotators.feedback import Comparison, Draft, Revision
from alignlab.annotators.kinds import EndpointConfig
from alignlab.endpoint.client import Endpoint


class EndpointAnnotator:
    """Each question is one turn of a user."""

    def __init__(
        self,
        config: EndpointConfig,
        *,
        folder: Path,
        source: Any = None,
        sleep: Callable[[float], None] = time.sleep,
        **given: Any,
    ) -> None:
        self.config, self.endpoint = config, Endpoint(config, folder, sleep)

    def judge(self, comparisons: Sequence[Comparison]) -> list[float | None]:
        """From the probabilities of the two answers where the endpoint tells them, else 1 or 0 by what it says."""
        return self.endpoint.each(comparisons, self._compared)

    def revise(self, drafts: Sequence[Draft]) -> list[Revision | None]:
        """Criticism, then a revision in its light."""
        return self.endpoint.each(drafts, self._revised)

    def _compared(self, asked: Comparison) -> float | None:
        found = self.endpoint.chosen(wording.question(self.config, asked), self.config.answers)
        return None if found is None else found[0]

    def _revised(self, draft: Draft) -> Revision | None:
        options: dict[str, Any] = dict(temperature=self.config.temperature, max_tokens=self.config.max_new_tokens)
        critique = self.endpoint.said(wording.critique(self.config, draft), **options)
        if not critique:
            return None
        reply = self.endpoint.said(wording.revision(self.config, draft, critique), **options)
        return Revision(critique, reply) if reply else None
