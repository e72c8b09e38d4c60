"""CORAL: the source is whitened, and coloured as the target.

Paper: Sun, Feng and Saenko, "Return of Frustratingly Easy Domain Adaptation", AAAI 2016, algorithm 1.
Code: github.com/VisionLearningGroup/CORAL adds 1 to the diagonals, as here by ``ridge=1``; ``shrinkage`` with ``ridge=0`` is the way of
    scikit-learn's ``ShrunkCovariance``. Powers of matrices are of the rank of the rows here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.errors import EpisodeError
from fewshot.learners.adaptation.domains import keep_domain_options, on_domains
from fewshot.learners.adaptation.heads import is_transductive, keep_head, on_mapped
from fewshot.learners.adaptation.subspaces import TALL, row_space
from fewshot.plumbing.number_checks import keep_finite_numbers


@dataclass(frozen=True)
class CORAL:
    """Rows of the source become ``x A`` with ``A = C^(-1/2) D^(1/2)``, C and D the covariances of source and target.

    Each is ``(1 - shrinkage) S + (shrinkage tr(S) / columns + ridge) I`` with S of the rows, divided by their number
    less 1. Rows of the target stay.

    Attributes:
        ridge: Added to the diagonals; 1 in the paper.
        shrinkage: Towards the mean variance.
        scaling: Steps before; see `fewshot.learners.adaptation.scaling`.
        adapt_to: Rows of the target that count: ``"pool"``, or ``"queries"`` of a call.
        head: A learner on rows, its name, or ``{name: options}``.

    Raises:
        FewShotError: If an option is not known.
    """

    ridge: float = 1.0
    shrinkage: float = 0.0
    scaling: str | Sequence[str] = ()
    adapt_to: str = "pool"
    head: Any = "k-nearest-neighbours"

    def __post_init__(self) -> None:
        keep_finite_numbers(self, ridge="[0, inf)", shrinkage="[0, 1]")
        keep_domain_options(self)
        keep_head(self)

    @property
    def transductive(self) -> bool:
        """Whether the other queries matter."""
        return is_transductive(self)

    @on_domains
    def adapt(self, support: SupportSet) -> Classifier:
        """Recolour the source, and let the head adapt to it.

        Raises:
            EpisodeError: If a covariance is not positive definite.
        """
        target = cast(Tensor, support.unlabelled)
        recoloured = recolour(support.x, target, self.ridge, self.shrinkage)
        return on_mapped(self.head, support, recoloured, lambda rows: rows)


def recolour(x: Float[Tensor, "s dim"], target: Float[Tensor, "u dim"], ridge: float, shrinkage: float) -> Callable:
    """The map A as a function of rows."""
    whiten, colour = power(x, -0.5, ridge, shrinkage), power(target, 0.5, ridge, shrinkage)
    return lambda rows: in_blocks(lambda block: colour(whiten(block)), rows)


def power(rows: Float[Tensor, "n dim"], exponent: float, ridge: float, shrinkage: float) -> Callable:
    """Rows times a power of the covariance: ``c^p I + V ((s + c)^p - c^p) Vᵀ`` with c what all variances gain."""
    values, axes = row_space([rows], rows.mean(0))
    s = values.square() / max(1, len(rows) - 1)
    gain = s.new_tensor(ridge) + shrinkage * s.sum() / rows.shape[1]
    if not float(gain) > 0 and len(s) < rows.shape[1]:
        raise EpisodeError(
            f"a covariance must be positive definite, got rank {len(s)} of {rows.shape[1]}; set ridge or shrinkage above 0"
        )
    base = gain**exponent if float(gain) > 0 else gain
    step = ((1 - shrinkage) * s + gain) ** exponent - base
    return lambda of: base * of + (of @ axes * step) @ axes.mT


def in_blocks(function: Callable, rows: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
    """The function of all rows, of a block at a time where there are many."""
    if len(rows) <= TALL:
        found: Tensor = function(rows)
        return found
    made = torch.empty_like(rows)
    for own, block in zip(torch.split(made, TALL // 4), torch.split(rows, TALL // 4), strict=True):
        own.copy_(function(block))
    return made
