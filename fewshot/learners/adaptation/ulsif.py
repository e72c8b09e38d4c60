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
from fewshot.learners.adaptation.domains import keep_domain_options, on_domains
from fewshot.learners.adaptation.gaussians import gaussian, median_distance, spread_rows
from fewshot.learners.adaptation.importance import head_scores, keep_weighted_head, on_weighted
from fewshot.plumbing.number_checks import keep_finite_numbers, keep_whole_numbers

WIDTHS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""To choose from, in median distances."""
PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
"""To choose from."""


@dataclass(frozen=True)
class ULSIF:
    """A weighted head on the source, with ``w(x) = Σ α_l k(x, c_l)`` nearest to the ratio of densities.

    ``α = max(0, (H + λ)⁻¹ h)``, where ``H`` is the mean of ``k kᵀ`` over the source, and ``h`` that of ``k`` over the
    target, some of whose rows the centres are.

    Attributes:
        width: σ of ``k = exp(-‖a - b‖² / (2 σ²))``; by leaving one out over `WIDTHS` where None.
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
        keep_whole_numbers(self, centres=1)
        for name in ("width", "penalty"):
            if getattr(self, name) is not None:
                keep_finite_numbers(self, **{name: "(0, inf)"})
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


def left_out_error(
    of_source: Float[Tensor, "n b"],
    of_target: Float[Tensor, "m b"],
    x: Float[Tensor, "k b"],
    t: Float[Tensor, "k b"],
    penalty: float,
) -> float:
    """Mean of ``w(x_i)² / 2 - w(t_i)``, where w was found without the two rows; by one inverse (figure 2).

    Args:
        of_source: Kernel values of the source with the centres.
        of_target: Of the target.
        x: Those of the source's rows that are left out.
        t: Those of the target's rows that are left out with them.
        penalty: λ.
    """
    n, m, b = len(of_source), len(of_target), of_source.shape[1]
    mean = of_target.mean(0)
    factor = cholesky(of_source.mT @ of_source / n + penalty * (n - 1) / n * torch.eye(b).to(mean))
    of_x, of_t, of_mean = (torch.cholesky_solve(v.mT, factor).mT for v in (x, t, mean[None]))
    alone = n - (x * of_x).sum(1, keepdim=True)  # Sherman and Morrison: H without a row
    without_x = of_mean + of_x * (of_x @ mean).unsqueeze(1) / alone
    without_t = of_t + of_x * (t * of_x).sum(1, keepdim=True) / alone
    alpha = ((n - 1) / (n * (m - 1)) * (m * without_x - without_t)).clamp(min=0)
    return float(((x * alpha).sum(1).square() / 2 - (t * alpha).sum(1)).mean())
