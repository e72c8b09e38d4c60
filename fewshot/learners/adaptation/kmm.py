"""Kernel mean matching: weights under which the mean of the source is that of the target in a Gaussian kernel's space.

Paper: Huang, Smola, Gretton, Borgwardt and Schölkopf, "Correcting Sample Selection Bias by Unlabeled Data",
    NIPS 2006, eqs. 10 and 11; the band and the bound are those of its section 4.
Code: none of the authors' is at hand. Intended differences: the quadratic program is solved by an interior point method
    written here; the width is the median distance where none is given; from `MOST` rows on the kernel of the source is
    Nyström's, of `RANK` rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.learners.adaptation.domains import keep_domain_options, on_domains
from fewshot.learners.adaptation.gaussians import gaussian, mean_kernel, median_distance, spread_rows
from fewshot.learners.adaptation.importance import head_scores, keep_weighted_head, on_weighted
from fewshot.learners.adaptation.quadratic import in_band
from fewshot.plumbing.number_checks import keep_finite_numbers

MOST, RANK = 4096, 500


@dataclass(frozen=True)
class KMM:
    """A weighted head on the source, with the β that minimise ``½ βᵀ K β - κᵀ β``.

    ``K`` holds the kernel between rows of the source, and ``κ_i = (n / m) Σ_j k(x_i, t_j)``; β lie between 0 and
    ``bound``, and their mean within ``slack`` of 1.

    Attributes:
        width: σ of the kernel ``exp(-‖a - b‖² / (2 σ²))``; the median distance where None.
        bound: B of the paper.
        slack: ε of the paper; ``(√n - 1) / √n`` where None.
        head: ``"logistic"``, ``"ridge"`` or ``"svm"``.
        C: Weight of the data against the head's penalty.
        scaling: Steps before; see `fewshot.learners.adaptation.scaling`.
        adapt_to: Rows of the target that count: ``"pool"``, or ``"queries"`` of a call.

    Raises:
        FewShotError: If an option is not known, or a number out of range.
    """

    width: float | None = None
    bound: float = 1000.0
    slack: float | None = None
    head: str = "logistic"
    C: float = 1.0
    scaling: str | Sequence[str] = ()
    adapt_to: str = "pool"

    def __post_init__(self) -> None:
        keep_finite_numbers(self, bound="(1, inf)")
        if self.width is not None:
            keep_finite_numbers(self, width="(0, inf)")
        if self.slack is not None:
            keep_finite_numbers(self, slack="(0, inf)")
        keep_weighted_head(self)
        keep_domain_options(self)

    @property
    def scores(self) -> str:
        """What the head's scores are."""
        return head_scores(self.head)

    @property
    def transductive(self) -> bool:
        """Whether the other queries matter."""
        return self.adapt_to == "queries"

    @on_domains
    def adapt(self, support: SupportSet) -> Classifier:
        """Weigh the source, and fit the head to it.

        Raises:
            EpisodeError: If the weights rest on under ten rows.
        """
        x, target = support.x, cast(Tensor, support.unlabelled)
        width = median_distance(x, target) if self.width is None else self.width
        return on_weighted(self, support, kmm_weights(x, target, width, self.bound, self.slack))


def kmm_weights(
    source: Float[Tensor, "n dim"],
    target: Float[Tensor, "m dim"],
    width: float,
    bound: float = 1000.0,
    slack: float | None = None,
) -> Float[Tensor, " n"]:
    """The weights β of the rows of the source, in float64.

    Raises:
        EpisodeError: If they are not found.
    """
    n = len(source)
    kappa = n * mean_kernel(source, target, width)
    away = n * ((n**0.5 - 1) / n**0.5 if slack is None else slack)
    kernel = gaussian(source, source, width) if n <= MOST else None
    factor = None if kernel is not None else _nystroem(source, width)
    return in_band(kernel, factor, kappa, bound, n - away, n + away).clamp(0, bound)


def _nystroem(source: Tensor, width: float) -> Tensor:
    """F ``(n, r)`` with F Fᵀ nearly the kernel, equal to it at the rows that it is centred at."""
    centres = spread_rows(source, RANK)
    value, vector = torch.linalg.eigh(gaussian(centres, centres, width))
    kept = value > 1e-10 * value[-1]
    across = vector[:, kept] / value[kept].sqrt()
    return torch.cat([gaussian(block, centres, width) @ across for block in torch.split(source, MOST)])
