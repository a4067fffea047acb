"""Published sets of prompts to measure posture with: harmful requests, harmless ones that look harmful, ordinary ones.

None is shipped. They are read from local files, or from the hub when that is asked for; `known` says what each set
looks like, under which licence it stands and where it comes from.
"""

from alignlab.method import Component
from alignlab.promptsets.config import PromptSetsConfig, PromptSetsData
from alignlab.promptsets.known import SETS, KnownSet

__all__ = ["SETS", "SOURCE", "KnownSet", "PromptSetsConfig"]

SOURCE = Component(
    name="promptsets",
    summary="Published sets of harmful and harmless prompts, to measure a finished model on.",
    target="alignlab.promptsets.source:PromptSetsSource",
    config=PromptSetsData,
)
