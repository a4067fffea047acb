"""What XPO adds to the loss of a pair, as pure functions."""

from torch import Tensor


def optimism(logps: Tensor, from_reference: Tensor, *, alpha: float) -> Tensor:
    """alpha log pi(y' | x), y' the reference's sample of each pair: (2B,), (2B,) of rows [chosen; rejected] -> (B,).

    `from_reference` is 1 on the rows that the reference wrote, one of each pair. The last term of the minimisation
    in algorithm 1 of arXiv 2405.21046: minimising it takes probability from what the reference would write, which
    by KL-regularisation is optimism about everything else.
    """
    chosen, rejected = (logps * from_reference).chunk(2)
    return alpha * (chosen + rejected)


def scheduled(alpha: float, schedule: str, step: int, total: int) -> float:
    """alpha of iteration `step` of `total`: as given, or falling linearly to 0 in the last of several iterations."""
    return alpha if schedule == "constant" else alpha * (1 - step / max(1, total - 1))
