"""LaplacianShot: closeness to class means, and neighbouring queries that should agree.

Paper: Ziko, Dolz, Granger and Ben Ayed, "Laplacian Regularized Few-Shot Learning", ICML 2020, eqs. 2 to 9 and
    algorithm 1.
Code: github.com/imtiazziko/LaplacianShot, ``src/train_lshot.py`` and ``src/lshot_update.py``. Its ``knn = 3`` counts the
    item itself, so that two neighbours remain; ``neighbours`` are neighbours here. It stops when the energy stands
    still; every episode gets all steps here. It guesses the classes of support items in the rectification; they
    keep their own here. Its strength is 1 unless it is chosen on validation classes; here it is 0.4, for 1 loses up to 18
    points where classes have few queries (``benchmarks/transductive.py``).
"""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError, NotFittedError
from fewshot.functional import rectifying_weights, require_every_class
from fewshot.learners.transductive.gram import (
    class_means,
    cosines,
    gram,
    moved,
    neighbours,
    squared_distances,
    to_the_support,
    unit,
)
from fewshot.plumbing.number_checks import keep_whole_numbers


@dataclass(frozen=True, eq=False)
class LaplacianShot:
    """Log-probabilities y = softmax(−a + strength · W y), the distances a and the neighbours W (eq. 9).

    No balance of the classes is assumed.

    Attributes:
        neighbours: Of a query, among the other queries; all of them where there are fewer.
        strength: Weight lambda of the Laplacian term; the authors choose it on validation classes, from 0.1 to 1.5, and so
            should you. The default is the one that loses least in all settings of validation classes here.
        steps: Updates of all assignments together.
        rectify: Whether class means are rectified by the queries, which needs two of them.
        transform: ``"CL2N"`` centres features on the base classes and gives them length 1, as in the paper;
            ``"L2N"`` gives them length 1, ``"UN"`` leaves them. None is CL2N after `with_base`, and L2N before.
        centre: Mean feature of the base classes, which `with_base` finds.

    Raises:
        FewShotError: If a number is out of range, or the transform is unknown.
    """

    neighbours: int = 3
    strength: float = 0.4
    steps: int = 20
    rectify: bool = True
    transform: str | None = None
    centre: Float[Tensor, " dim"] | None = None

    transductive = True

    def __post_init__(self) -> None:
        keep_whole_numbers(self, neighbours=1, steps=1)
        if not self.strength >= 0:
            raise FewShotError(f"strength must be 0 or more, got {self.strength}")
        if self.transform not in (None, "CL2N", "L2N", "UN"):
            raise FewShotError(f"transform must be 'CL2N', 'L2N', 'UN' or None, got '{self.transform}'")

    def with_base(self, base: SupportSet) -> "LaplacianShot":
        """The same learner with the mean over all items of the base classes."""
        return replace(self, centre=base.x.detach().flatten(0, -2).mean(0))

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Keep the support; assignments are made when the queries come.

        Raises:
            EpisodeError: If a class has no example; later, if a single query is to be shifted.
            NotFittedError: If CL2N is chosen and no base classes were seen.
        """
        require_every_class(support.y, support.n_way)
        if self.transform == "CL2N" and self.centre is None:
            raise NotFittedError(
                "CL2N needs the mean of base classes, got none; call with_base, or set transform 'L2N'"
            )
        return lambda query: self._classify(support, query)

    def _classify(self, support: SupportSet, query: Tensor) -> Tensor:
        k = gram(self._centred(support.x), self._centred(query))
        k, prototypes = self._prototypes(k if self.transform == "UN" else unit(k), support, query)
        s = support.y.shape[-1]
        unary = -squared_distances(k, prototypes)[..., s:]  # classes lead in what follows, which is quicker
        weight = self.strength * neighbours(k[..., s:, s:], self.neighbours).mT
        logits = unary
        for _ in range(self.steps):
            logits = unary + logits.softmax(-2) @ weight
        return logits.log_softmax(-2).mT

    def _prototypes(self, k: Tensor, support: SupportSet, query: Tensor) -> tuple[Tensor, Tensor]:
        """Items, their queries shifted if class means are rectified, and those means."""
        means = class_means(support.y, support.n_way, k)
        if not self.rectify:
            return k, means
        k = moved(k, *to_the_support(support.y.shape[-1], query))
        return k, rectifying_weights(10 * cosines(k, means), support.y, "classes")

    def _centred(self, z: Tensor) -> Tensor:
        return z if self.centre is None or self.transform in ("L2N", "UN") else z - self.centre.to(z)
