"""CORAL as its published table has it: a support vector machine on a table of inner products that is no kernel.

Paper: Sun, Feng and Saenko, "Return of Frustratingly Easy Domain Adaptation", AAAI 2016.
Code: the authors' ``Ex_CORAL.m`` gives libsvm ``X A Xᵀ`` as a kernel, which is not symmetric, where the paper has
    ``X A (X A)ᵀ``. Its C is found by two random folds of the source, here with ``C=None``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.learners.adaptation.coral import recolour
from fewshot.learners.adaptation.domains import keep_domain_options, on_domains
from fewshot.learners.adaptation.libsvm import fitted, votes
from fewshot.plumbing.number_checks import keep_finite_numbers


@dataclass(frozen=True)
class PublishedCORAL:
    """Scores are votes as of `fewshot.learners.adaptation.libsvm.LibSVM`, on ``x A xᵀ`` among rows of the source, and ``q (x A)ᵀ`` for queries.

    For rebuilding that table only; `fewshot.learners.adaptation.coral.CORAL` is the method.

    Attributes:
        C: Weight of violated margins; None to choose it by two random folds, see `fewshot.learners.adaptation.two_folds`.
        ridge: Added to the diagonals of the covariances.
        scaling: Steps before; see `fewshot.learners.adaptation.scaling`.
        adapt_to: Rows of the target that count: ``"pool"``, or ``"queries"`` of a call.

    Raises:
        FewShotError: If an option is not known.
    """

    C: float | None = 1.0
    ridge: float = 1.0
    scaling: str | Sequence[str] = ()
    adapt_to: str = "pool"

    scores = "rank"
    class_symmetric = False  # ties go to the class that comes first

    def __post_init__(self) -> None:
        keep_finite_numbers(self, ridge="(0, inf)", **({} if self.C is None else {"C": "(0, inf)"}))
        keep_domain_options(self)

    @property
    def transductive(self) -> bool:
        """Whether the other queries matter."""
        return self.adapt_to == "queries"

    @on_domains
    def adapt(self, support: SupportSet) -> Classifier:
        """Fit the machine to the source.

        Raises:
            EpisodeError: If it is not found, as may be where products are no kernel.
        """
        x = support.x
        recoloured = recolour(x, cast(Tensor, support.unlabelled), self.ridge, 0.0)(x)
        machine = fitted((recoloured @ x.mT).cpu().numpy(), support, self.C, kernel="precomputed")
        return lambda rows: votes(machine, (rows @ recoloured.mT).cpu().numpy(), rows)
