"""What measures of the gap ask of two domains."""

import numpy as np
from jaxtyping import Float

from fewshot.errors import StatisticsError

Rows = Float[np.ndarray, "rows dim"]


def two_domains(source: np.ndarray, target: np.ndarray, least: int, most: int, rng: np.random.Generator) -> list[Rows]:
    """Rows of both in float64, drawn without replacement where there are more than so many.

    Raises:
        StatisticsError: If columns differ, rows are too few, or a number is not finite.
    """
    pair = [np.asarray(rows, dtype=np.float64) for rows in (source, target)]
    if any(rows.ndim != 2 for rows in pair) or pair[0].shape[1] != pair[1].shape[1]:
        raise StatisticsError(
            f"two domains must be rows with the same columns, got shapes {pair[0].shape} and {pair[1].shape}"
        )
    if min(map(len, pair)) < least:
        raise StatisticsError(f"a gap needs {least} rows of each domain or more, got {len(pair[0])} and {len(pair[1])}")
    if not all(np.isfinite(rows).all() for rows in pair):
        raise StatisticsError("numbers of both domains must be finite, got NaN or infinity; clean them")
    return [rows if len(rows) <= most else rows[np.sort(rng.permutation(len(rows))[:most])] for rows in pair]
