"""DeViSE: items are mapped to where classes are described, so that the own class is nearer than others by a margin.

Paper: Frome, Corrado, Shlens, Bengio, Dean, Ranzato and Mikolov, "DeViSE: A Deep Visual-Semantic Embedding Model",
    NeurIPS 2013, eq. 1.
Code: none of the authors. Differences: the features stay as they are, as in the paper's first phase, and the rate is fixed; M
    starts at zero; a batch adds up the updates of its items (batch 1: one item after the other).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.learners.described.ranking import check_options, compatibility, first_violation, learn_ranking


@dataclass(frozen=True)
class DeViSE:
    """Scores are t_jᵀ M v to descriptors t_j of unit length; they only rank.

    Such descriptors rank alike by inner product, by cosine and by distance to M v, which the paper looks up.

    Attributes:
        violations: ``"all"`` wrong classes that violate the margin move M, as eq. 1 says, or only the ``"first"`` one
            in a random order, as the paper's training has it.
        margin: How far below the right class a wrong one should score.
        learning_rate: Step length of the gradient descent.
        epochs: Passes over the base items.
        batch: Base items of one step.
        seed: Of the order of the items, and of the wrong classes.
        matrix: Mᵀ, which `with_base` learns.

    Raises:
        FewShotError: If an option is out of its range.
    """

    violations: str = "all"
    margin: float = 0.1
    learning_rate: float = 0.01
    epochs: int = 10
    batch: int = 1
    seed: int = 0
    matrix: Float[Tensor, "dim length"] | None = None

    scores = "rank"

    def __post_init__(self) -> None:
        if self.violations not in ("all", "first"):
            raise FewShotError(f"violations must be 'all' or 'first', got '{self.violations}'")
        check_options(self)

    def with_base(self, base: SupportSet) -> "DeViSE":
        """The same learner with M learned on the base classes.

        Raises:
            EpisodeError: If base classes lack items or descriptors, or there is one only.
            FewShotError: If the rate is so large that M overflows.
        """
        return replace(self, matrix=learn_ranking(self, base))

    def weigh(self, excess: Float[Tensor, "b z"], generator: torch.Generator) -> Float[Tensor, "b z"]:
        """One for each violation that counts: the slope of the hinges in eq. 1."""
        counted = excess > 0 if self.violations == "all" else first_violation(excess, generator)[0]
        return counted.to(excess)

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Score by the descriptors of the new classes; support items play no part.

        Raises:
            NotFittedError: If no base classes were seen.
            EpisodeError: If descriptors are missing, not finite, or not as long as those of the base classes.
        """
        return compatibility(self, support)
