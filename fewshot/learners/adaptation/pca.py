"""Joint PCA: both domains in the directions along which all rows together vary most.

Paper: Jolliffe, "Principal Component Analysis", 2002; as a baseline of adaptation in Pan et al., IEEE TNN 22 (2011), and
    Long et al., ICCV 2013.
Code: none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.learners.adaptation.domains import keep_domain_options, on_domains
from fewshot.learners.adaptation.heads import is_transductive, keep_head, on_mapped
from fewshot.learners.adaptation.subspaces import mean_of, principal_axes
from fewshot.plumbing.number_checks import keep_whole_numbers


@dataclass(frozen=True)
class JointPCA:
    """Rows are centred at the mean of source and target together, and projected; the head does the rest.

    Attributes:
        dim: Number of directions.
        scaling: Steps before; see `fewshot.learners.adaptation.scaling`.
        adapt_to: Rows of the target that count: ``"pool"``, or ``"queries"`` of a call.
        head: A learner on rows, its name, or ``{name: options}``.

    Raises:
        FewShotError: If an option is not known.
    """

    dim: int = 100
    scaling: str | Sequence[str] = ()
    adapt_to: str = "pool"
    head: Any = "k-nearest-neighbours"

    def __post_init__(self) -> None:
        keep_whole_numbers(self, dim=1)
        keep_domain_options(self)
        keep_head(self)

    @property
    def transductive(self) -> bool:
        """Whether the other queries matter."""
        return is_transductive(self)

    @on_domains
    def adapt(self, support: SupportSet) -> Classifier:
        """Find the directions, and let the head adapt to the projected source.

        Raises:
            EpisodeError: If the rows vary along fewer directions.
        """
        both = [support.x, cast(Tensor, support.unlabelled)]
        mean = mean_of(both)
        axes = principal_axes(both, mean, self.dim)

        def through(rows: Tensor) -> Tensor:
            return (rows - mean) @ axes

        return on_mapped(self.head, support, through, through)
