"""ALE: attribute label embedding, a bilinear compatibility learned with a weighted approximate ranking loss.

Paper: Akata, Perronnin, Harchaoui and Schmid, "Label-Embedding for Attribute-Based Classification", CVPR 2013, and
    "Label-Embedding for Image Classification", TPAMI 2016; the loss is that of Weston, Bengio and Usunier,
    "WSABIE", IJCAI 2011.
Code: none of the authors that we know. Differences: W starts at zero, not at random; wrong classes are drawn without
    replacement, so that an item is passed over only if no class violates the margin; the number of passes is an option and
    not chosen by validation; a batch adds up the updates of its items (batch 1: one item after the other).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.learners.described.ranking import check_options, compatibility, first_violation, learn_ranking


@dataclass(frozen=True)
class ALE:
    """Scores are F = xᵀ W s_j to descriptors s_j of unit length; they only rank.

    Attributes:
        margin: How far below the right class a wrong one should score.
        learning_rate: Step length of the gradient descent.
        epochs: Passes over the base items.
        batch: Base items of one step.
        seed: Of the order of the items, and of the draws of wrong classes.
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

    def with_base(self, base: SupportSet) -> "ALE":
        """The same learner with W learned on the base classes.

        Raises:
            EpisodeError: If base classes lack items or descriptors, or there is one only.
            FewShotError: If the rate is so large that W overflows.
        """
        return replace(self, matrix=learn_ranking(self, base))

    def weigh(self, excess: Float[Tensor, "b z"], generator: torch.Generator) -> Float[Tensor, "b z"]:
        """l_r = Σ_{i ≤ r} 1 / i for the first violation drawn, whose rank r is taken to be ⌊(z - 1) / draws⌋."""
        found, draws = first_violation(excess, generator)
        wrong = excess.shape[1] - 1
        l = (1 / torch.arange(1, wrong + 1).to(excess)).cumsum(0)  # noqa: E741, the letter of the paper
        return found * l[wrong // draws - 1].unsqueeze(1)

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Score by the descriptors of the new classes; support items play no part.

        Raises:
            NotFittedError: If no base classes were seen.
            EpisodeError: If descriptors are missing, not finite, or not as long as those of the base classes.
        """
        return compatibility(self, support)
