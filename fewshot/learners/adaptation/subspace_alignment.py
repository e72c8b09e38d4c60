"""Subspace alignment: principal directions of the source are turned to those of the target.

Paper: Fernando, Habrard, Sebban and Tuytelaars, "Unsupervised Visual Domain Adaptation Using Subspace Alignment",
    ICCV 2013, section 3, eqs. 1 to 4.
Code: the authors' demo projects rows where they are, which is ``centre=False`` here; libraries centre each domain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.learners.adaptation.domains import keep_domain_options, on_domains
from fewshot.learners.adaptation.heads import is_transductive, keep_head, on_mapped
from fewshot.learners.adaptation.subspaces import principal_axes
from fewshot.plumbing.number_checks import keep_whole_numbers, truth_value


@dataclass(frozen=True)
class SubspaceAlignment:
    """Rows of the source become ``x P Pᵀ R``, those of the target ``x R``: P and R hold the first directions of each.

    Attributes:
        dim: Number of directions, d of the paper.
        centre: Whether each domain's rows are projected from their mean.
        scaling: Steps before; see `fewshot.learners.adaptation.scaling`.
        adapt_to: Rows of the target that count: ``"pool"``, or ``"queries"`` of a call.
        head: A learner on rows, its name, or ``{name: options}``.

    Raises:
        FewShotError: If an option is not known.
    """

    dim: int = 20
    centre: bool = True
    scaling: str | Sequence[str] = ()
    adapt_to: str = "pool"
    head: Any = "k-nearest-neighbours"

    def __post_init__(self) -> None:
        keep_whole_numbers(self, dim=1)
        truth_value("centre", self.centre)
        keep_domain_options(self)
        keep_head(self)

    @property
    def transductive(self) -> bool:
        """Whether the other queries matter."""
        return is_transductive(self)

    @on_domains
    def adapt(self, support: SupportSet) -> Classifier:
        """Align the directions, and let the head adapt to the source in them.

        Raises:
            EpisodeError: If the rows of a domain vary along fewer.
        """
        x, target = support.x, cast(Tensor, support.unlabelled)
        mean, target_mean = x.mean(0), target.mean(0)
        p, r = principal_axes([x], mean, self.dim), principal_axes([target], target_mean, self.dim)
        if not self.centre:
            mean, target_mean = 0 * mean, 0 * target_mean
        turn = p.mT @ r
        return on_mapped(
            self.head, support, lambda rows: (rows - mean) @ p @ turn, lambda rows: (rows - target_mean) @ r
        )
