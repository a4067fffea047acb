"""The exceptions a user can meet. Each says what is wrong, where, and what to do about it.

Anything else that escapes is a defect of alignlab or of a plugin and keeps its traceback.
"""

from __future__ import annotations


class AlignlabError(Exception):
    """An expected failure, shown as a one-screen message without a traceback.

    `message` names the thing at fault as the user typed or stored it; `remedy` says what to do next.
    """

    exit_code = 2

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message if not remedy else f"{message}\n  remedy: {remedy}")
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[AlignlabError], tuple[str, str]]:
        """Keep message and remedy apart when an error crosses a process boundary."""
        return type(self), (self.message, self.remedy)


class ConfigError(AlignlabError):
    """A key, value or combination of settings cannot work."""


class PluginError(AlignlabError):
    """A plugin is unknown, broken, or clashes with another."""


class DataError(AlignlabError):
    """A file or row cannot be used; names file, row and key."""


class ModelError(AlignlabError):
    """A model or tokenizer cannot be loaded or does not fit its use."""


class StoreError(AlignlabError):
    """The stage store or a run directory cannot be read or written."""

    exit_code = 1


class TrainingError(AlignlabError):
    """Training stopped on purpose: a gate failed or a number was not finite. Names the step."""

    exit_code = 1


class MissingPartError(AlignlabError):
    """A method reached for something its `Needs` does not declare."""
