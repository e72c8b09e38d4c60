"""uLSIF: importance weights by least squares, in closed form, with width and penalty by leave-one-out in closed form.

Paper: Kanamori, Hido and Sugiyama, "A Least-squares Approach to Direct Importance Estimation", JMLR 10 (2009),
    section 3.1 and figure 2.
Code: the authors' ``uLSIF.m``. Intended differences: centres are spread over the sorted target, so that neither an
    order nor a seed counts, and rows are left out in that order; widths to choose from are multiples of the median
    distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.errors import EpisodeError
from fewshot.functional import cholesky
from fewshot.learners.adaptation.domains import on_domains
from fewshot.learners.adaptation.gaussians import gaussian, median_distance, spread_rows
from fewshot.learners.adaptation.importance import head_scores, on_weighted
from fewshot.learners.adaptation.left_out import left_out_error
from fewshot.learners.adaptation.mixture import WIDTHS, keep_mixture_options

PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
"""To choose from."""


@dataclass(frozen=True)
class ULSIF:
    """A weighted head on the source, with ``w(x) = Σ α_l k(x, c_l)`` nearest to the ratio of densities.

    ``α = max(0, (H + λ)⁻¹ h)``, where ``H`` is the mean of ``k kᵀ`` over the source, and ``h`` that of ``k`` over the
    target, some of whose rows the centres are.

    Attributes:
        width: σ of ``k = exp(-‖a - b‖² / (2 σ²))``; by leaving one out over `fewshot.learners.adaptation.mixture.WIDTHS` where None.
        penalty: λ; likewise over `PENALTIES`.
        centres: Most centres.
        head: ``"logistic"``, ``"ridge"`` or ``"svm"``.
        C: Weight of the data against the head's penalty.
        scaling: Steps before; see `fewshot.learners.adaptation.scaling`.
        adapt_to: Rows of the target that count: ``"pool"``, or ``"queries"`` of a call.

    Raises:
        FewShotError: If an option is not known, or a number out of range.
    """

    width: float | None = None
    penalty: float | None = None
    centres: int = 100
    head: str = "logistic"
    C: float = 1.0
    scaling: str | Sequence[str] = ()
    adapt_to: str = "pool"

    def __post_init__(self) -> None:
        keep_mixture_options(self, "width", "penalty")

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
        width, penalty = chosen(x, target, self.width, self.penalty, self.centres)
        return on_weighted(self, support, ulsif_weights(x, target, width, penalty, self.centres))


def ulsif_weights(
    source: Float[Tensor, "n dim"], target: Float[Tensor, "m dim"], width: float, penalty: float, most: int = 100
) -> Float[Tensor, " n"]:
    """Weights of the rows of the source, 0 or more; their mean is not exactly 1."""
    centres = spread_rows(target, most)
    of_source = gaussian(source, centres, width)
    return of_source @ _coefficients(of_source, gaussian(target, centres, width), penalty)


def _coefficients(of_source: Tensor, of_target: Tensor, penalty: float) -> Tensor:
    h = of_source.mT @ of_source / len(of_source)
    factor = cholesky(h + penalty * torch.eye(len(h)).to(h))
    return torch.cholesky_solve(of_target.mean(0).unsqueeze(-1), factor).squeeze(-1).clamp(min=0)


def chosen(
    source: Float[Tensor, "n dim"],
    target: Float[Tensor, "m dim"],
    width: float | None = None,
    penalty: float | None = None,
    most: int = 100,
) -> tuple[float, float]:
    """Width and penalty with the least error when a row of each domain is left out; what is given stays.

    Raises:
        EpisodeError: If there is something to choose, and a domain has one row.
    """
    if width is not None and penalty is not None:
        return width, penalty
    if min(len(source), len(target)) < 2:
        raise EpisodeError(
            "width and penalty are chosen on two rows of each domain or more, got "
            f"{len(source)} and {len(target)}; give both"
        )
    median = median_distance(source, target) if width is None else 1.0
    widths = [factor * median for factor in WIDTHS] if width is None else [width]
    penalties = PENALTIES if penalty is None else [penalty]
    centres, pairs = spread_rows(target, most), min(len(source), len(target))
    rows = spread_rows(source, pairs), spread_rows(target, pairs)

    def error(pair: tuple[float, float]) -> float:
        of_source, of_target, x, t = (gaussian(part, centres, pair[0]) for part in (source, target, *rows))
        return left_out_error(of_source, of_target, x, t, pair[1])

    return min(product(widths, penalties), key=error)
