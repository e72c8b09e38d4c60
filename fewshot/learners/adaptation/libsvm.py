"""The support vector machine of libsvm, whose answer is the class with the most votes of pairs.

Paper: Chang and Lin, "LIBSVM: A Library for Support Vector Machines", ACM TIST 2 (2011), section 7.
Code: libsvm itself, by scikit-learn's ``SVC``. `fewshot.from_sklearn` breaks ties between votes by margins; libsvm, and with it
    published tables, by the order of the classes.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, on_features, per_episode
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import require_every_class, require_finite
from fewshot.learners.adaptation.two_folds import cost_by_two_folds
from fewshot.plumbing.number_checks import keep_finite_numbers

KERNELS = ("rbf", "linear")
STEPS = 200_000


@dataclass(frozen=True)
class LibSVM:
    """Scores are votes of the machines of all pairs of classes, less under half a vote that puts ties in order.

    Attributes:
        C: Weight of violated margins; None to choose it by two random folds, see `fewshot.learners.adaptation.two_folds`.
        kernel: ``"rbf"``: ``exp(-gamma ‖x - x'‖²)``, or ``"linear"``.
        gamma: Of that kernel; None for 1 / number of columns, libsvm's default; ``"mean"`` for 1 / mean squared distance
            over all pairs of rows of support and pool, each row with itself too, as tables of Long et al. have it.

    Raises:
        FewShotError: If a number is not above 0, or the kernel is neither.
    """

    C: float | None = 1.0
    kernel: str = "rbf"
    gamma: float | str | None = None

    scores = "rank"
    class_symmetric = False  # ties go to the class that comes first

    def __post_init__(self) -> None:
        given = {"C": self.C is not None, "gamma": self.gamma not in (None, "mean")}
        keep_finite_numbers(self, **{name: "(0, inf)" for name, number in given.items() if number})
        if self.kernel not in KERNELS:
            raise FewShotError(f"kernel must be 'rbf' or 'linear', got {self.kernel!r}")

    @on_features
    @per_episode
    def adapt(self, support: SupportSet) -> Classifier:
        """Fit the machines in float64.

        Raises:
            EpisodeError: If a class has no example, there are fewer than two classes, a feature is not finite, all rows
                are the same and ``gamma`` is ``"mean"``, or the machine is not found.
        """
        require_every_class(support.y, support.n_way)
        require_finite(support.x)
        if support.n_way < 2:
            raise EpisodeError(f"a support vector machine needs at least two classes, got {support.n_way}")
        gamma = _inverse_distance(support) if self.gamma == "mean" else self.gamma or 1 / support.x.shape[1]
        machine = fitted(_table(support.x), support, self.C, kernel=self.kernel, gamma=gamma)
        return lambda query: votes(machine, _table(query), query)


def fitted(table: np.ndarray, support: SupportSet, C: float | None, **options: Any) -> Any:
    """scikit-learn's ``SVC``, fitted to rows or to a table of products; without C, with that of two folds.

    Raises:
        EpisodeError: If it is not found in `STEPS` steps, as with numbers of very different size.
    """
    from sklearn.svm import SVC

    cost = cost_by_two_folds(table, support, STEPS, **options) if C is None else C
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps that did not suffice, about which the status tells
        machine = SVC(C=cost, **options, random_state=0, max_iter=STEPS).fit(table, support.y.cpu().numpy())
    if machine.fit_status_:
        raise EpisodeError(f"a support vector machine must be found in {STEPS} steps; scale the features or lower C")
    return machine


def votes(machine: Any, rows: np.ndarray, like: Tensor) -> Float[Tensor, "q n_way"]:
    """Votes of a fitted ``SVC`` for rows, as a tensor of the type and place of another.

    Its decisions are votes to which margins add under a third.
    """
    values = torch.from_numpy(machine.decision_function(rows))
    of_pairs = torch.stack([values <= 0, values > 0], 1).double() if values.ndim == 1 else values.round()
    order = torch.arange(of_pairs.shape[1], dtype=torch.float64) / (2 * of_pairs.shape[1])
    return (of_pairs - order).to(like)


def _inverse_distance(support: SupportSet) -> float:
    """1 / mean of ‖x - x'‖² over all pairs, which is twice the mean squared distance from the mean row."""
    rows = support.x if support.unlabelled is None else torch.cat([support.x, torch.as_tensor(support.unlabelled)])
    rows = rows.double()
    distance = 2 * float((rows - rows.mean(0)).square().sum(-1).mean())
    if not distance > 0:
        raise EpisodeError("gamma='mean' needs rows that differ, got the same row throughout; give gamma as a number")
    return 1 / distance


def _table(rows: Tensor) -> np.ndarray:
    return rows.detach().double().cpu().numpy()
