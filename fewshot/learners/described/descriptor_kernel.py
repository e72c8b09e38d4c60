"""Descriptor kernel: a class is as likely as the base classes that are described alike.

Papers: none has exactly this. It is the kernel average of Nadaraya (1964) and Watson (1964), taken over classes. The nearest
    relatives are the direct similarity of Rohrbach, Stark, Szarvas, Gurevych and Schiele, "What Helps Where - and Why? Semantic
    Relatedness for Knowledge Transfer", CVPR 2010, where the most related base classes answer for a new one, and COSTA (Mensink,
    Gavves and Snoek, CVPR 2014), which averages weights of classifiers, not probabilities.
Code: none. Kernel ridge regression with the cosine kernel would be nothing new: `DescriptorRegression` on items of unit length.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.learners.described.base_classifier import base_log_probabilities, fit_base_classifier
from fewshot.learners.described.descriptors import base_classes, class_descriptors, require_base


@dataclass(frozen=True)
class DescriptorKernel:
    """Scores are log Σ_k w_ck p(k | x) over the base classes k, with w_ck = exp(cos(s_c, s_k) / τ) / Σ_j exp(cos(s_c, s_j) / τ).

    They only rank: the averages of different classes need not sum to 1.

    Attributes:
        temperature: τ; towards 0 only the base class that is described most alike counts, towards ∞ all do alike.
        C: Inverse strength of the penalty on the weights of the logistic regression.
        weight: Its weights and, in the last column, intercepts, found by `with_base`.
        described: Descriptors of the base classes.

    Raises:
        FewShotError: If τ or C is not above 0.
    """

    temperature: float = 0.1
    C: float = 1.0
    weight: Float[Tensor, "z dim_and_one"] | None = None
    described: Float[Tensor, "z length"] | None = None

    scores = "rank"

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and self.C > 0):
            raise FewShotError(f"temperature and C must be above 0, got {self.temperature} and {self.C}")

    def with_base(self, base: SupportSet) -> "DescriptorKernel":
        """The same learner with the classifier of the base classes.

        Raises:
            EpisodeError: If a base class has no item or no descriptor.
            FewShotError: If there is a single base class.
        """
        x, y, s = base_classes(base)
        weight = fit_base_classifier(x, y, classes=len(s), C=self.C, name="DescriptorKernel")
        return replace(self, weight=weight, described=s)

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Compare with the descriptors of the support; its items are not looked at.

        Raises:
            NotFittedError: If no base classes were seen.
            EpisodeError: If descriptors are missing, not finite, or of another length.
        """
        weight, base = (require_base(found, "DescriptorKernel") for found in (self.weight, self.described))
        s = normalize(class_descriptors(support, base.shape[1]), dim=-1)
        kernel = (s @ normalize(base, dim=-1).to(s).mT / self.temperature).log_softmax(-1)  # (e, n_way, z)

        def classify(query: Tensor) -> Tensor:
            looks = base_log_probabilities(query, weight)  # (e, q, z)
            return torch.logsumexp(looks.unsqueeze(-2) + kernel.to(query).unsqueeze(-3), -1)

        return classify
