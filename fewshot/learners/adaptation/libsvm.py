"""The support vector machine of libsvm, whose answer is the class with the most votes of pairs.

Paper: Chang and Lin, "LIBSVM: A Library for Support Vector Machines", ACM TIST 2 (2011), section 7.
Code: libsvm itself, by scikit-learn's ``SVC``. `fewshot.from_sklearn` breaks ties between votes by margins; libsvm, and with it
    published tables, by the order of the classes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, on_features, per_episode
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import require_every_class, require_finite
from fewshot.number_checks import keep_finite_numbers

KERNELS = ("rbf", "linear")


@dataclass(frozen=True)
class LibSVM:
    """Scores are votes of the machines of all pairs of classes, less under half a vote that puts ties in order.

    Attributes:
        C: Weight of violated margins.
        kernel: ``"rbf"``: ``exp(-gamma ‖x - x'‖²)``, or ``"linear"``.
        gamma: Of that kernel; None for 1 / number of columns, libsvm's default.

    Raises:
        FewShotError: If a number is not above 0, or the kernel is neither.
    """

    C: float = 1.0
    kernel: str = "rbf"
    gamma: float | None = None

    scores = "rank"
    class_symmetric = False  # ties go to the class that comes first

    def __post_init__(self) -> None:
        keep_finite_numbers(self, C="(0, inf)", **({} if self.gamma is None else {"gamma": "(0, inf)"}))
        if self.kernel not in KERNELS:
            raise FewShotError(f"kernel must be 'rbf' or 'linear', got {self.kernel!r}")

    @on_features
    @per_episode
    def adapt(self, support: SupportSet) -> Classifier:
        """Fit the machines in float64.

        Raises:
            EpisodeError: If a class has no example, there are fewer than two classes, or a feature is not finite.
        """
        require_every_class(support.y, support.n_way)
        require_finite(support.x)
        if support.n_way < 2:
            raise EpisodeError(f"a support vector machine needs at least two classes, got {support.n_way}")
        from sklearn.svm import SVC

        machine = SVC(C=self.C, kernel=self.kernel, gamma=self.gamma or 1 / support.x.shape[1], random_state=0)
        machine.fit(_table(support.x), support.y.cpu().numpy())
        return lambda query: votes(machine, _table(query), query)


def votes(machine: Any, rows: np.ndarray, like: Tensor) -> Float[Tensor, "q n_way"]:
    """Votes of a fitted ``SVC`` for rows, as a tensor of the type and place of another.

    Its decisions are votes to which margins add under a third.
    """
    values = torch.from_numpy(machine.decision_function(rows))
    of_pairs = torch.stack([values <= 0, values > 0], 1).double() if values.ndim == 1 else values.round()
    order = torch.arange(of_pairs.shape[1], dtype=torch.float64) / (2 * of_pairs.shape[1])
    return (of_pairs - order).to(like)


def _table(rows: Tensor) -> np.ndarray:
    return rows.detach().double().cpu().numpy()
