"""Rows of features, checked as scikit-learn checks them."""

from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import validate_data
from torch import Tensor

from fewshot.estimator.items import embed
from fewshot.estimator.labels import named


def read_rows(estimator: Any, x: Any, backbone: Any, first: bool) -> Any:
    """Rows ``(n, dim)``, as float64 or float32; embedded where there is a backbone, which gets float32.

    Args:
        estimator: Gets ``n_features_in_`` and the names of columns in the first call; later calls must fit them.
        x: A table of numbers.
        backbone: What embeds, or nothing.
        first: Whether this is ``fit``.

    Raises:
        DataError: If there is no row, or one is not finite or of another length.
    """
    plain = x.detach().cpu().numpy() if isinstance(x, Tensor) else x
    floats = [np.float64, np.float32] if backbone is None else np.float32
    rows = named(validate_data, estimator, plain, reset=first, dtype=floats)
    return embed(iter([torch.tensor(rows)]), backbone)
