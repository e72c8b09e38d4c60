"""Orthonormal directions of rows, without a table of columns by columns where there are fewer rows."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.errors import EpisodeError

TALL = 2**14
"""Rows from which tables of columns by columns are summed in blocks, so that no copy of the rows is made."""


def row_space(
    parts: Sequence[Float[Tensor, "_ dim"]], mean: Float[Tensor, " dim"] | None = None
) -> tuple[Float[Tensor, " r"], Float[Tensor, "dim r"]]:
    """Singular values above rounding, falling, and their right singular vectors, of all rows less a mean.

    The left ones are never made. Rows are first reduced to a triangle where there are more of them than columns, which has
    the same of both. From `TALL` rows on they are those of the sum of products, which knows values above 1e-7 of the
    largest.
    """
    count, columns = sum(map(len, parts)), parts[0].shape[1]
    if count > max(TALL, columns):
        squares, found = torch.linalg.eigh(products(parts, mean))
        kept = squares > squares.amax().clamp(min=1e-300) * count * 2.2e-16
        return squares[kept].flip(0).sqrt(), found[:, kept].flip(1)
    rows = torch.cat(list(parts)) if len(parts) > 1 else parts[0]
    rows = rows if mean is None else rows - mean
    small = torch.linalg.qr(rows, mode="r").R if len(rows) > rows.shape[1] else rows
    _, values, axes = torch.linalg.svd(small, full_matrices=False)
    rank = int((values > values.amax().clamp(min=1e-300) * max(rows.shape) * 2.2e-16).sum())
    return values[:rank], axes[:rank].mT


def products(parts: Sequence[Float[Tensor, "_ dim"]], mean: Tensor | None) -> Float[Tensor, "dim dim"]:
    """Sum of the products of all rows less a mean, in blocks."""
    total = parts[0].new_zeros(parts[0].shape[1], parts[0].shape[1])
    for part in parts:
        for block in torch.split(part, TALL // 4):
            moved = block if mean is None else block - mean
            total += moved.mT @ moved
    return total


def mean_of(parts: Sequence[Float[Tensor, "_ dim"]]) -> Float[Tensor, " dim"]:
    """Mean of all rows; from `TALL` on without a copy of them."""
    count = sum(map(len, parts))
    if count <= TALL:
        return torch.cat(list(parts)).mean(0)
    total: Tensor = sum(part.sum(0) for part in parts)  # type: ignore[assignment]
    return total / count


def principal_axes(parts: Sequence[Float[Tensor, "_ dim"]], mean: Tensor, dim: int) -> Float[Tensor, "dim k"]:
    """The directions along which rows vary most around their mean.

    Raises:
        EpisodeError: If they vary along fewer.
    """
    values, axes = row_space(parts, mean)
    require_rank(dim, len(values))
    return axes[:, :dim]


def require_rank(dim: int, rank: int) -> None:
    """Let a dimension pass only if the rows have as many directions.

    Raises:
        EpisodeError: If not.
    """
    if dim > rank:
        raise EpisodeError(f"dim must be at most the rank of the rows, {rank}, got {dim}; lower dim")
