"""TIM-GD: prototypes that maximise the mutual information between queries and their classes.

Paper: Boudiaf, Masud, Rony, Dolz, Piantanida and Ben Ayed, "Transductive Information Maximization For Few-Shot
    Learning", NeurIPS 2020, eqs. 1 to 4.
Code: github.com/mboudiaf/TIM, ``src/tim.py`` with the settings of ``scripts/evaluate``. It adds 1e-12 to
    probabilities before their logarithm; logarithms are exact here. Features have length 1, the published L2N.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.functional import class_means, class_membership
from fewshot.learners.transductive.information import Information, informed_scores


@dataclass(frozen=True)
class TIMGD:
    """Log-probabilities after gradient steps on the prototypes; the support cross-entropy holds them.

    The marginal entropy prefers queries that are shared evenly by the classes.

    Attributes:
        temperature: Scores are ``−temperature / 2 · ‖z − w‖²``, or ``temperature · cosine``.
        support_weight: Of the cross-entropy of the support.
        marginal_weight: Of the entropy of the mean prediction, which is maximised.
        conditional_weight: Of the mean entropy of predictions, which is minimised.
        classifier: ``"l2"``, or ``"cosine"`` as in easyfsl.
        lr: Step size of Adam.
        steps: Of Adam.

    Raises:
        FewShotError: If a number is out of range, or the classifier is neither.
    """

    temperature: float = 15.0
    support_weight: float = 0.1
    marginal_weight: float = 1.0
    conditional_weight: float = 0.1
    classifier: str = "l2"
    lr: float = 1e-4
    steps: int = 1000

    transductive = True

    @property
    def assumes_balanced_queries(self) -> bool:
        """Whether the entropy of the mean prediction counts, which is largest for classes that are equally frequent."""
        return self.marginal_weight > 0

    def __post_init__(self) -> None:
        self._information()

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Start at the class means; they move when the queries come. Nothing is differentiated through.

        Raises:
            EpisodeError: If a class has no example.
        """
        x = normalize(support.x, dim=-1)
        means = class_means(x, support.y, support.n_way)
        target = class_membership(support.y, support.n_way, x.dtype).mT

        def classify(query: Tensor) -> Tensor:
            items = torch.cat([x, normalize(query, dim=-1)], -2)
            return informed_scores(self._information(), means, items, target)

        return classify

    def _information(self) -> Information:
        weights = self.support_weight, self.marginal_weight, self.conditional_weight
        return Information(*weights, 1.0, self.temperature, self.classifier, self.lr, self.steps)
