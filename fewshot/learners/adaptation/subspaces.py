"""Orthonormal directions of rows, without a table of columns by columns where there are fewer rows."""

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.errors import EpisodeError


def row_space(rows: Float[Tensor, "n dim"]) -> tuple[Float[Tensor, " r"], Float[Tensor, "dim r"]]:
    """Singular values above rounding, falling, and their right singular vectors; the left ones are never made.

    Rows are first reduced to a triangle where there are more of them than columns, which has the same of both.
    """
    small = torch.linalg.qr(rows, mode="r").R if len(rows) > rows.shape[1] else rows
    _, values, axes = torch.linalg.svd(small, full_matrices=False)
    rank = int((values > values.amax().clamp(min=1e-300) * max(rows.shape) * 2.2e-16).sum())
    return values[:rank], axes[:rank].mT


def principal_axes(centred: Float[Tensor, "n dim"], dim: int) -> Float[Tensor, "dim k"]:
    """The directions along which centred rows vary most.

    Raises:
        EpisodeError: If they vary along fewer.
    """
    values, axes = row_space(centred)
    require_rank(dim, len(values))
    return axes[:, :dim]


def require_rank(dim: int, rank: int) -> None:
    """Let a dimension pass only if the rows have as many directions.

    Raises:
        EpisodeError: If not.
    """
    if dim > rank:
        raise EpisodeError(f"dim must be at most the rank of the rows, {rank}, got {dim}; lower dim")
