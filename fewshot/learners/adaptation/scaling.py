"""Scaling of two domains before they are compared: the steps that published tables rest on and seldom name."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.errors import EpisodeError, FewShotError

STEPS = ("sum", "unit", "z-score")


def scaling_steps(scaling: str | Sequence[str]) -> tuple[str, ...]:
    """The names of the steps, in their order: ``"sum, z-score"`` or ``("sum", "z-score")``; ``""`` and ``()`` are none.

    Args:
        scaling: ``"sum"`` divides a row by its sum, ``"unit"`` by its Euclidean length, and ``"z-score"`` gives each
            column mean 0 and standard deviation 1 (divisor n) within each domain by itself.

    Raises:
        FewShotError: If a step is none of these.
    """
    given = scaling.split(",") if isinstance(scaling, str) else scaling
    steps = tuple(step.strip() for step in given if step.strip())
    odd = [step for step in steps if step not in STEPS]
    if odd:
        raise FewShotError(
            f"steps of scaling must be among {', '.join(STEPS)}, got '{odd[0]}'; separate them by commas"
        )
    return steps


def fit_scaling(
    steps: Sequence[str], rows: Float[Tensor, "n dim"]
) -> Callable[[Float[Tensor, "m dim"]], Float[Tensor, "m dim"]]:
    """The steps as one function of rows of a domain; what ``"z-score"`` needs to know is taken from the given rows.

    Raises:
        EpisodeError: If a row has the sum 0 and is to be divided by it.
    """
    functions = []
    for step in steps:
        functions.append(_by_columns(rows) if step == "z-score" else {"sum": _sums_to_1, "unit": unit_rows}[step])
        rows = functions[-1](rows)

    def scale(rows: Tensor) -> Tensor:
        for function in functions:
            rows = function(rows)
        return rows

    return scale


def unit_rows(rows: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
    """Rows of Euclidean length 1; a row of zeros stays."""
    length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return rows / torch.where(length == 0, 1.0, length)


def _sums_to_1(rows: Tensor) -> Tensor:
    total = rows.sum(-1, keepdim=True)
    if bool((total == 0).any()):
        row = int((total == 0).flatten().nonzero()[0])
        raise EpisodeError(
            f"rows must have a sum other than 0 to be divided by it, got 0 in row {row}; leave 'sum' out"
        )
    return rows / total


def _by_columns(rows: Tensor) -> Callable[[Tensor], Tensor]:
    """Columns that do not vary are only centred."""
    mean, deviation = rows.mean(0), rows.std(0, correction=0)
    deviation = torch.where(deviation == 0, 1.0, deviation)
    return lambda rows: (rows - mean) / deviation
