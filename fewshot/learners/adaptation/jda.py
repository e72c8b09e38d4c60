"""Joint distribution adaptation: the means of two domains meet, and so do those of each class, by guessed labels.

Paper: Long, Wang, Ding, Sun and Yu, "Transfer Feature Learning with Joint Distribution Adaptation", ICCV 2013, eqs. 4 to 9 and
    algorithm 1.
Code: the authors' ``JDA.m``, as far as published numbers show it: the matrix of gaps is divided by its Frobenius norm,
    eigenvectors have length 1 where the paper's constraint is ``Aᵀ X H Xᵀ A = I``, and ten rounds are made whether or
    not the labels have settled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.learners.adaptation.discrepancy import (
    Coordinates,
    class_gaps,
    keep_pencil_options,
    marginal_gap,
    unit_gaps,
)
from fewshot.learners.adaptation.domains import keep_domain_options, on_domains
from fewshot.learners.adaptation.heads import is_transductive, keep_head, on_mapped
from fewshot.learners.adaptation.scaling import unit_rows
from fewshot.plumbing.number_checks import keep_whole_numbers


@dataclass(frozen=True)
class JDA:
    """As TCA with a gap for each class; labels of the target are guessed anew in each round, by the head.

    Attributes:
        dim: Number of directions, k of the paper.
        penalty: λ of the paper.
        rounds: Times that directions are found; the first knows no labels.
        form: ``"kernel"`` for a linear kernel, or ``"primal"``.
        eigenvectors: ``"unit"``: columns of length 1; or ``"constraint"``, as the paper has it.
        unit_map: Whether mapped rows are given length 1.
        scaling: Steps before; see `fewshot.learners.adaptation.scaling`.
        adapt_to: Rows of the target that count: ``"pool"``, or ``"queries"`` of a call.
        head: A learner on rows, its name, or ``{name: options}``.

    Raises:
        FewShotError: If an option is not known.
    """

    dim: int = 100
    penalty: float = 1.0
    rounds: int = 10
    form: str = "kernel"
    eigenvectors: str = "unit"
    unit_map: bool = True
    scaling: str | Sequence[str] = ()
    adapt_to: str = "pool"
    head: Any = "k-nearest-neighbours"

    def __post_init__(self) -> None:
        keep_whole_numbers(self, rounds=1)
        keep_pencil_options(self)
        keep_domain_options(self)
        keep_head(self)

    @property
    def transductive(self) -> bool:
        """Whether the other queries matter."""
        return is_transductive(self)

    @on_domains
    def adapt(self, support: SupportSet) -> Classifier:
        """Find the directions round by round, and let the head adapt to the mapped source.

        Raises:
            EpisodeError: If the rows have fewer directions, or the penalty is too small.
        """
        x, target = support.x, cast(Tensor, support.unlabelled)
        coordinates = Coordinates.of([x, target], self.form)
        gaps = support.n_way**0.5 * marginal_gap(len(x), len(target), x)
        classify = self._round(support, coordinates, gaps)
        for _ in range(self.rounds - 1):
            guess = classify(target).argmax(-1)
            by_class = class_gaps(support.y, guess, support.n_way, x)
            classify = self._round(support, coordinates, torch.cat([gaps, by_class], 1))
        return classify

    def _round(self, support: SupportSet, coordinates: Coordinates, gaps: Tensor) -> Classifier:
        directions = coordinates.map(unit_gaps(gaps), self.penalty, self.dim, self.eigenvectors)

        def through(rows: Tensor) -> Tensor:
            return unit_rows(rows @ directions) if self.unit_map else rows @ directions

        return on_mapped(self.head, support, through, through)
