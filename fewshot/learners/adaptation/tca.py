"""Transfer component analysis: directions in which the means of two domains meet while their rows keep their spread.

Paper: Pan, Tsang, Kwok and Yang, "Domain Adaptation via Transfer Component Analysis", IEEE TNN 22 (2011), eqs. 8 to 10.
Code: none from the authors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.learners.adaptation.discrepancy import Coordinates, keep_pencil_options, marginal_gap, unit_gaps
from fewshot.learners.adaptation.domains import keep_domain_options, on_domains
from fewshot.learners.adaptation.heads import is_transductive, keep_head, on_mapped
from fewshot.learners.adaptation.scaling import unit_rows
from fewshot.plumbing.number_checks import truth_value


@dataclass(frozen=True)
class TCA:
    """Rows X of both domains become ``K W`` with the largest ``Wᵀ K H K W`` against ``Wᵀ (K L K + penalty I) W``.

    K is ``X Xᵀ``, H centres, and ``Wᵀ K L K W`` is the distance of the means of source and target.

    Attributes:
        dim: Number of directions.
        penalty: μ of the paper, λ in later ones.
        form: ``"kernel"`` as above, or ``"primal"``: ``X A`` with ``Aᵀ Xᵀ H X A`` against ``Aᵀ (Xᵀ L X + penalty I) A``.
        eigenvectors: ``"constraint"`` as in the paper, ``Wᵀ K H K W = I``; or ``"unit"``: columns of length 1.
        unit_gap: Whether L is divided by its Frobenius norm, as published tables have it; False is the paper.
        unit_map: Whether mapped rows are given length 1.
        scaling: Steps before; see `fewshot.learners.adaptation.scaling`.
        adapt_to: Rows of the target that count: ``"pool"``, or ``"queries"`` of a call.
        head: A learner on rows, its name, or ``{name: options}``.

    Raises:
        FewShotError: If an option is not known.
    """

    dim: int = 100
    penalty: float = 1.0
    form: str = "kernel"
    eigenvectors: str = "unit"
    unit_gap: bool = True
    unit_map: bool = False
    scaling: str | Sequence[str] = ()
    adapt_to: str = "pool"
    head: Any = "k-nearest-neighbours"

    def __post_init__(self) -> None:
        keep_pencil_options(self)
        truth_value("unit_gap", self.unit_gap)
        keep_domain_options(self)
        keep_head(self)

    @property
    def transductive(self) -> bool:
        """Whether the other queries matter."""
        return is_transductive(self)

    @on_domains
    def adapt(self, support: SupportSet) -> Classifier:
        """Find the directions, and let the head adapt to the mapped source.

        Raises:
            EpisodeError: If the rows have fewer directions, or the penalty is too small.
        """
        x, target = support.x, cast(Tensor, support.unlabelled)
        gap = marginal_gap(len(x), len(target), x)
        gap = unit_gaps(gap) if self.unit_gap else gap
        directions = Coordinates.of([x, target], self.form).map(gap, self.penalty, self.dim, self.eigenvectors)

        def through(rows: Tensor) -> Tensor:
            return unit_rows(rows @ directions) if self.unit_map else rows @ directions

        return on_mapped(self.head, support, through, through)
