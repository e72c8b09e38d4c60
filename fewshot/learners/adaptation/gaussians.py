"""Gaussian kernels between two domains: their width, their sums in blocks, and the few rows they are centred at."""

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.functional import squared_distances

ROWS = 1000
"""Of each domain, of which distances are looked at for a width."""
BLOCK = 2**23
"""Numbers in a table of kernel values at one time."""


def gaussian(a: Float[Tensor, "n dim"], b: Float[Tensor, "m dim"], width: float) -> Float[Tensor, "n m"]:
    """``exp(-‖a_i - b_j‖² / (2 width²))``."""
    return (-squared_distances(a, b) / (2 * width**2)).exp()


def mean_kernel(a: Float[Tensor, "n dim"], b: Float[Tensor, "m dim"], width: float) -> Float[Tensor, " n"]:
    """Mean kernel value of each row of ``a`` with the rows of ``b``, a block of rows at a time."""
    size = max(1, BLOCK // len(b))
    return torch.cat([gaussian(block, b, width).mean(1) for block in torch.split(a, size)])


def median_distance(source: Float[Tensor, "s dim"], target: Float[Tensor, "t dim"]) -> float:
    """Median distance of two different rows of both domains together; 1 if most rows are equal.

    With more than ``ROWS`` rows a domain, of so many, evenly spread over it.
    """
    rows = torch.cat([spread_rows(source, ROWS), spread_rows(target, ROWS)])
    first, second = torch.triu_indices(len(rows), len(rows), 1, device=rows.device)
    median = squared_distances(rows, rows)[first, second].median().sqrt()
    return float(median) if float(median) > 0 else 1.0


def in_order(rows: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
    """Rows sorted by their first column, then the next: what is picked by place then hangs on no order and no seed."""
    ranks = torch.unique(rows, dim=0, return_inverse=True)[1]
    return rows[ranks.argsort(stable=True)]


def spread_rows(rows: Float[Tensor, "n dim"], most: int) -> Float[Tensor, "k dim"]:
    """All rows where there are no more, else so many of `in_order`, evenly spaced."""
    ordered = in_order(rows)
    if len(ordered) <= most:
        return ordered
    return ordered[(torch.arange(most, device=rows.device) * len(ordered)) // most]
