"""alpha-TIM: TIM with Tsallis entropies, for queries that are not balanced.

Paper: Veilleux, Boudiaf, Piantanida and Ben Ayed, "Realistic Evaluation of Transductive Few-Shot Learning",
    NeurIPS 2021, section 4.
Code: github.com/oveilleux/Realistic_Transductive_Few_Shot, ``src/methods/tim.py``, ``ALPHA_TIM``, with
    ``config/dirichlet/methods_config/alpha_tim.yaml``: Shannon's cross-entropy for the support, alpha entropies for
    the queries. It adds 1e-12 to probabilities; nothing is added here. Features have length 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.functional import class_means, class_membership
from fewshot.learners.transductive.information import Information, informed_scores


@dataclass(frozen=True)
class AlphaTIM:
    """TIM-GD with entropies that forgive unbalanced queries: those of Tsallis, of order alpha.

    Attributes:
        alpha: Order of the two entropies of queries; 1 is Shannon's. None is the authors' choice on validation classes:
            2 with one shot, 7 with five or more, 5 between, for the mean shot of an episode.
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

    alpha: float | None = None
    temperature: float = 15.0
    support_weight: float = 1.0
    marginal_weight: float = 1.0
    conditional_weight: float = 1.0
    classifier: str = "l2"
    lr: float = 1e-4
    steps: int = 1000

    transductive = True

    def __post_init__(self) -> None:
        self._information(1.0)

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
            return informed_scores(self._information(support.y.shape[-1] / support.n_way), means, items, target)

        return classify

    def _information(self, shot: float) -> Information:
        published = 2.0 if shot <= 1 else 7.0 if shot >= 5 else 5.0
        alpha = published if self.alpha is None else self.alpha
        weights = self.support_weight, self.marginal_weight, self.conditional_weight
        return Information(*weights, alpha, self.temperature, self.classifier, self.lr, self.steps)
