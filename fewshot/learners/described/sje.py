"""SJE: structured joint embedding, a bilinear compatibility learned from the most violating class of every item.

Paper: Akata, Reed, Walter, Lee and Schiele, "Evaluation of Output Embeddings for Fine-Grained Image Classification",
    CVPR 2015, the sections on structured joint embeddings and on learning them.
Code: none of the authors that we know. Differences: one descriptor of a class, not several with weights; W starts at
    zero; the number of passes is an option and not chosen by validation; a batch adds up the updates of its items (batch 1:
    one item after the other).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.learners.described.ranking import check_options, compatibility, learn_ranking


@dataclass(frozen=True)
class SJE:
    """Scores are F = xᵀ W s_j to descriptors s_j of unit length; they only rank.

    Attributes:
        margin: How far below the right class a wrong one should score: Δ(y, j) of every wrong class j.
        learning_rate: Step length of the gradient descent.
        epochs: Passes over the base items.
        batch: Base items of one step.
        seed: Of the order of the items.
        matrix: W, which `with_base` learns.

    Raises:
        FewShotError: If an option is out of its range.
    """

    margin: float = 1.0
    learning_rate: float = 0.01
    epochs: int = 10
    batch: int = 1
    seed: int = 0
    matrix: Float[Tensor, "dim length"] | None = None

    scores = "rank"

    def __post_init__(self) -> None:
        check_options(self)

    def with_base(self, base: SupportSet) -> "SJE":
        """The same learner with W learned on the base classes.

        Raises:
            EpisodeError: If base classes lack items or descriptors, or there is one only.
            FewShotError: If the rate is so large that W overflows.
        """
        return replace(self, matrix=learn_ranking(self, base))

    def weigh(self, excess: Float[Tensor, "b z"], generator: torch.Generator) -> Float[Tensor, "b z"]:
        """One for the class of the greatest hinge, if that is above 0; the first of equal ones."""
        greatest, where = excess.max(1, keepdim=True)
        return torch.zeros_like(excess).scatter(1, where, (greatest > 0).to(excess))

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Score by the descriptors of the new classes; support items play no part.

        Raises:
            NotFittedError: If no base classes were seen.
            EpisodeError: If descriptors are missing, not finite, or not as long as those of the base classes.
        """
        return compatibility(self, support)
