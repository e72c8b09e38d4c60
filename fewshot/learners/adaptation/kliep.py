"""KLIEP: importance weights as a mixture of Gaussians under which the target is likeliest.

Paper: Sugiyama, Suzuki, Nakajima, Kashima, von Bünau and Kawanabe, "Direct Importance Estimation for Covariate Shift
    Adaptation", Annals of the Institute of Statistical Mathematics 60 (2008), eq. 9 and figures 1 and 2.
Code: the authors' ``KLIEP.m``. Intended differences: the maximum is found by an interior point method, not by steps of
    fixed sizes with projections; centres are spread over the sorted target and folds are every fifth of its rows, so
    that neither an order nor a seed counts; widths to choose from are multiples of the median distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.errors import EpisodeError
from fewshot.learners.adaptation.domains import on_domains
from fewshot.learners.adaptation.gaussians import gaussian, in_order, mean_kernel, median_distance, spread_rows
from fewshot.learners.adaptation.importance import head_scores, on_weighted
from fewshot.learners.adaptation.mixture import WIDTHS, keep_mixture_options
from fewshot.learners.adaptation.mixture_shares import mixture_shares

FOLDS = 5
FAR = 1e-12  # mean kernel value of a centre with the source, under which no row of the source is near


@dataclass(frozen=True)
class KLIEP:
    """A weighted head on the source, with ``w(x) = Σ α_l k(x, c_l)`` of the largest ``Σ_j log w(t_j)``.

    ``t_j`` are rows of the target, centres ``c_l`` some of them; α are 0 or more, and the mean of w over the source is 1.

    Attributes:
        width: σ of ``k = exp(-‖a - b‖² / (2 σ²))``; by likelihood cross-validation over `fewshot.learners.adaptation.mixture.WIDTHS` where None.
        centres: Most centres.
        head: ``"logistic"``, ``"ridge"`` or ``"svm"``.
        C: Weight of the data against the head's penalty.
        scaling: Steps before; see `fewshot.learners.adaptation.scaling`.
        adapt_to: Rows of the target that count: ``"pool"``, or ``"queries"`` of a call.

    Raises:
        FewShotError: If an option is not known, or a number out of range.
    """

    width: float | None = None
    centres: int = 100
    head: str = "logistic"
    C: float = 1.0
    scaling: str | Sequence[str] = ()
    adapt_to: str = "pool"

    def __post_init__(self) -> None:
        keep_mixture_options(self, "width")

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
            EpisodeError: If the weights rest on under ten rows, or no row of the source is near the target.
        """
        x, target = support.x, cast(Tensor, support.unlabelled)
        width = likeliest_width(x, target, self.centres) if self.width is None else self.width
        return on_weighted(self, support, kliep_weights(x, target, width, self.centres))


def kliep_weights(
    source: Float[Tensor, "n dim"], target: Float[Tensor, "m dim"], width: float, most: int = 100
) -> Float[Tensor, " n"]:
    """Weights of the rows of the source, mean 1.

    Raises:
        EpisodeError: If no row of the source is near the target.
    """
    centres, over = _near(source, spread_rows(target, most), width)
    return gaussian(source, centres, width) @ (mixture_shares(gaussian(target, centres, width) / over) / over)


def likeliest_width(source: Float[Tensor, "n dim"], target: Float[Tensor, "m dim"], most: int = 100) -> float:
    """The width with the largest mean ``log w`` of target rows that were held out (figure 2).

    Raises:
        EpisodeError: If no row of the source is near the target, whatever the width, or the target has one row.
    """
    if len(target) < 2:
        raise EpisodeError(f"a width is chosen on two rows of the target or more, got {len(target)}; give a width")
    ordered, median = in_order(target), median_distance(source, target)
    scores = [_held_out(source, ordered, factor * median, most) for factor in WIDTHS]
    return median * WIDTHS[max(range(len(WIDTHS)), key=scores.__getitem__)]


def _held_out(source: Tensor, target: Tensor, width: float, most: int) -> float:
    """Mean log weight of each fold of the target under the mixture of the others; minus infinity where one has none."""
    fold = torch.arange(len(target), device=target.device) % min(FOLDS, len(target))
    total = 0.0
    for k in range(int(fold.max()) + 1):
        kept = target[fold != k]
        if float(mean_kernel(spread_rows(kept, most), source, width).max()) <= FAR:
            return -torch.inf
        centres, over = _near(source, spread_rows(kept, most), width)
        share = mixture_shares(gaussian(kept, centres, width) / over)
        total += float((gaussian(target[fold == k], centres, width) @ (share / over)).log().sum())
    return total / len(target)


def _near(source: Tensor, centres: Tensor, width: float) -> tuple[Tensor, Tensor]:
    """The centres that a row of the source is near, and the mean of their kernel over the source."""
    over = mean_kernel(centres, source, width)
    if not bool((over > FAR).any()):
        raise EpisodeError(
            f"a row of the source must be near the target, got none within reach of the width {width:.3g}; "
            "choose a larger width, or do not adapt"
        )
    return centres[over > FAR], over[over > FAR]
