"""ConSE: an item's descriptor is a mix of those of the base classes that it looks like.

Paper: Norouzi, Mikolov, Bengio, Singer, Shlens, Frome, Corrado and Dean, "Zero-Shot Learning by Convex Combination of Semantic
    Embeddings", ICLR 2014, eqs. 3 to 5.
Code: none by the authors. Intended difference: the probabilities of base classes come from logistic regression on the features,
    where the paper has the softmax of a trained network.
"""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.learners.described.base_classifier import base_log_probabilities, fit_base_classifier
from fewshot.learners.described.descriptors import base_classes, class_descriptors, require_base
from fewshot.plumbing.number_checks import keep_whole_numbers


@dataclass(frozen=True)
class ConSE:
    """Scores are cosines between the classes' descriptors and e(x) = Σ p(k|x) s_k / Σ p(k|x) over the T most probable base classes.

    Attributes:
        top: T; 1 takes the descriptor of the most probable base class alone.
        C: Inverse strength of the penalty on the weights of the logistic regression.
        weight: Its weights and, in the last column, intercepts, found by `with_base`.
        described: Descriptors of the base classes.

    Raises:
        FewShotError: If T is below 1, or C is not above 0.
    """

    top: int = 10
    C: float = 1.0
    weight: Float[Tensor, "z dim_and_one"] | None = None
    described: Float[Tensor, "z length"] | None = None

    scores = "rank"

    def __post_init__(self) -> None:
        keep_whole_numbers(self, top=1)
        if not self.C > 0:
            raise FewShotError(f"C must be above 0, got {self.C}")

    def with_base(self, base: SupportSet) -> "ConSE":
        """The same learner with the classifier of the base classes.

        Raises:
            EpisodeError: If a base class has no item or no descriptor.
            FewShotError: If there is a single base class.
        """
        x, y, s = base_classes(base)
        weight = fit_base_classifier(x, y, classes=len(s), C=self.C, name="ConSE")
        return replace(self, weight=weight, described=s)

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Compare with the descriptors of the support; its items are not looked at.

        Raises:
            NotFittedError: If no base classes were seen.
            EpisodeError: If descriptors are missing, not finite, or of another length.
        """
        weight, base = require_base(self.weight, "ConSE"), require_base(self.described, "ConSE")
        s = normalize(class_descriptors(support, base.shape[1]), dim=-1)

        def classify(query: Tensor) -> Tensor:
            best, which = base_log_probabilities(query, weight).exp().topk(min(self.top, len(base)), -1)
            mixed = (best.unsqueeze(-1) * base.to(query)[which]).sum(
                -2
            )  # Z only scales it, which a cosine does not see
            return normalize(mixed, dim=-1) @ s.to(query).mT

        return classify
