"""Published sets of prompts to measure posture with: harmful requests, harmless ones that look harmful, ordinary ones.

None is shipped. They are read from local files, or from the hub when that is asked for; `known` says what each set
looks like, under which licence it stands and where it comes from.
"""

from alignlab.promptsets.config import PromptSetsConfig
from alignlab.promptsets.known import SETS, KnownSet

__all__ = ["SETS", "KnownSet", "PromptSetsConfig"]
