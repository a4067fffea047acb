"""What a plugin says about where its method converges, asked under given settings."""

from __future__ import annotations

import inspect
from typing import NamedTuple

from torch import Tensor

from alignlab.errors import PluginError
from alignlab.method import Method, MethodConfig, PairConfig, resolve
from alignlab.numerics.population import Population

MODIFIERS = ("sft_weight", "length_normalised", "on_policy_weight", "reference_every")
"""Settings of pair methods that change where they converge; a theory holds with one only if it asks for it."""


class Theory(NamedTuple):
    """A prediction."""

    logps: Tensor
    """(X, Y); -inf for completions from which all probability is predicted to vanish."""
    words: str
    """The prediction in a phrase."""


def predicted(method: Method, config: MethodConfig, world: Population) -> Theory | None:
    """Where the method converges by its own theory; None where it declares none for these settings."""
    if not method.exact:
        return None
    function = resolve(method.exact, f"method {method.name!r}")
    names = list(inspect.signature(function).parameters)[1:]
    unknown = [name for name in names if not hasattr(config, name)]
    if unknown:
        raise PluginError(
            f"method {method.name!r}: {method.exact} asks for {unknown[0]!r}, which is no setting",
            "add it to its config",
        )
    if isinstance(config, PairConfig) and any(getattr(config, name) and name not in names for name in MODIFIERS):
        return None
    logps = function(world, **{name: getattr(config, name) for name in names})
    phrase = (inspect.getdoc(function) or "").partition("\n")[0].rstrip(".")
    return None if logps is None else Theory(logps, phrase)
