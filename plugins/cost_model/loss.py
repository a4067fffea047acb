"""The objective of a cost model, as a pure function of scores."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def cost_loss(
    worse: Tensor, better: Tensor, *, harmful: Tensor, ordered: Tensor, regularisation: float = 0.0
) -> Tensor:
    """Negative log-likelihood of the order and of both signs of each pair.

        loss = -[ordered] log sigmoid(C_m - C_l) - log sigmoid(z_m C_m) - log sigmoid(z_l C_l)
               + regularisation (C_m^2 + C_l^2) / 2

    C_m of the more harmful completion, C_l of the other, z = +1 where harmful and -1 where safe.
    worse, better, ordered (B,), harmful (B, 2) -> (B,). Eq. 6 of arXiv 2310.12773.
    """
    costs = torch.stack([worse, better], -1)
    signs = 2 * harmful.to(costs.dtype) - 1
    order = -logsigmoid(worse - better) * ordered
    return order - logsigmoid(signs * costs).sum(-1) + regularisation * (costs**2).mean(-1)
