"""The error of uLSIF on rows that were left out, by one inverse for all of them.

Paper: Kanamori, Hido and Sugiyama, "A Least-squares Approach to Direct Importance Estimation", JMLR 10 (2009), figure 2.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.functional import cholesky


def left_out_error(
    of_source: Float[Tensor, "n b"],
    of_target: Float[Tensor, "m b"],
    x: Float[Tensor, "k b"],
    t: Float[Tensor, "k b"],
    penalty: float,
) -> float:
    """Mean of ``w(x_i)² / 2 - w(t_i)``, where w was found without the two rows; by one inverse (figure 2).

    Args:
        of_source: Kernel values of the source with the centres.
        of_target: Of the target.
        x: Those of the source's rows that are left out.
        t: Those of the target's rows that are left out with them.
        penalty: λ.
    """
    n, m, b = len(of_source), len(of_target), of_source.shape[1]
    mean = of_target.mean(0)
    factor = cholesky(of_source.mT @ of_source / n + penalty * (n - 1) / n * torch.eye(b).to(mean))
    of_x, of_t, of_mean = (torch.cholesky_solve(v.mT, factor).mT for v in (x, t, mean[None]))
    alone = n - (x * of_x).sum(1, keepdim=True)  # Sherman and Morrison: H without a row
    without_x = of_mean + of_x * (of_x @ mean).unsqueeze(1) / alone
    without_t = of_t + of_x * (t * of_x).sum(1, keepdim=True) / alone
    alpha = ((n - 1) / (n * (m - 1)) * (m * without_x - without_t)).clamp(min=0)
    return float(((x * alpha).sum(1).square() / 2 - (t * alpha).sum(1)).mean())
