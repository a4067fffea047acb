"""Where learning from pairs of own samples converges with unlimited samples."""

from typing import Any

from torch import Tensor

from alignlab.numerics.population import Population, tilted


def fixed_point(
    world: Population,
    *,
    objective: str,
    beta: float | None,
    labels: str,
    settings: dict[str, Any],
    reference_refresh: bool,
) -> Tensor | None:
    """pi* = ref exp(r / beta) / Z for DPO's loss and Bradley-Terry labels; no closed form for hard ones.

    At pi* the implicit reward explains Bradley-Terry labels exactly, whichever pairs are drawn. The higher reward
    winning always asks for endless margins: the policy drifts until the pairs it draws are nearly the same.
    """
    if objective != "dpo" or labels == "hard" or settings or reference_refresh or not beta:
        return None
    return tilted(world.reference, world.reward / beta)
