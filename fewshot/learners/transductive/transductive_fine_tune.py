"""Transductive fine-tuning of a head: cross-entropy of the support and entropy of the queries.

Paper: Dhillon, Chaudhari, Ravichandran and Soatto, "A Baseline for Few-Shot Image Classification", ICLR 2020, sections
    3.1 and 3.2.
Code: github.com/amazon-science/few-shot-baseline, ``finetune.py`` and ``utils.py``. Intended differences: that code
    trains the backbone with the head, on images that it crops and colours at random; features are constants here, and
    only the head learns. Its features are the backbone's outputs for the classes of pre-training; here they are what
    comes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import class_means, class_membership
from fewshot.plumbing.device import has_fused_steps
from fewshot.plumbing.number_checks import keep_whole_numbers

CHUNK = 16  # episodes that are trained together: their numbers stay in the processor's cache


@dataclass(frozen=True)
class TransductiveFineTune:
    """Log-probabilities of a linear head on items of length 1, which starts at the class means, also of length 1.

    The start makes every logit a cosine. No balance of the classes is assumed.

    Attributes:
        epochs: Of Adam, each a step on the support and then one on the queries.
        lr: Step size.
        entropy_weight: Of the mean entropy of the queries' predictions; with 0 their steps are left out.
        scale: Multiplies the logits; 1 in the paper.
        relu: Whether negative features count as 0.
        alternate: Whether support and queries have steps of their own, as published; else an epoch is one step on both.

    Raises:
        FewShotError: If a number is out of range.
    """

    epochs: int = 25
    lr: float = 5e-5
    entropy_weight: float = 1.0
    scale: float = 1.0
    relu: bool = True
    alternate: bool = True

    transductive = True

    def __post_init__(self) -> None:
        keep_whole_numbers(self, epochs=0)
        if not self.entropy_weight >= 0:
            raise FewShotError(f"entropy_weight must be 0 or more, got {self.entropy_weight}")
        if not (self.lr > 0 and self.scale > 0):
            raise FewShotError(f"lr and scale must be above 0, got {self.lr} and {self.scale}")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Start the head at the class means; it learns when the queries come. Nothing is differentiated through.

        Raises:
            EpisodeError: If a class has no example.
        """
        x = (support.x.relu() if self.relu else support.x).detach()
        means = normalize(class_means(x, support.y, support.n_way), dim=-1)
        parts = pad(means, (0, 1)), self._items(x), class_membership(support.y, support.n_way, x.dtype).mT

        def classify(query: Tensor) -> Tensor:
            with torch.no_grad():
                return self._scores(*parts, self._items(query))

        return classify

    def _items(self, z: Tensor) -> Tensor:
        """Of length 1, with a last feature of 1 for the intercept."""
        return pad(normalize(z.relu() if self.relu else z, dim=-1), (0, 1), value=1.0)

    def _scores(self, *parts: Tensor) -> Tensor:
        """Log-probabilities of the queries, a few episodes at a time."""
        if parts[0].ndim == 2:
            return self._scores(*(part.unsqueeze(0) for part in parts))[0]
        chunks = [[part[k : k + CHUNK] for part in parts] for k in range(0, len(parts[0]), CHUNK)]
        return torch.cat([self._logits(self._train(*chunk), chunk[-1]).log_softmax(-2).mT for chunk in chunks])

    def _train(self, start: Tensor, x: Tensor, target: Tensor, query: Tensor) -> Tensor:
        """The head after all steps, its intercepts last."""
        head = start.clone()
        adam = torch.optim.Adam([head], lr=self.lr, fused=has_fused_steps(head))
        turns = [[x], [query]] if self.alternate else [[x, query]]
        for _ in range(self.epochs):
            for turn in turns if self.entropy_weight else [[x]]:
                slopes = [self._by_support(head, x, target) if z is x else self._by_query(head, query) for z in turn]
                head.grad = torch.stack(slopes).sum(0)
                adam.step()
        return head

    def _logits(self, head: Tensor, z: Tensor) -> Tensor:
        return self.scale * head @ z.mT

    def _by_support(self, head: Tensor, x: Tensor, target: Tensor) -> Tensor:
        """Derivatives of the mean cross-entropy by the head."""
        return self.scale / x.shape[-2] * (self._logits(head, x).softmax(-2) - target) @ x

    def _by_query(self, head: Tensor, query: Tensor) -> Tensor:
        """Derivatives of the weighted mean entropy by the head."""
        log_p = self._logits(head, query).log_softmax(-2)
        p = log_p.exp()
        slopes = p * ((p * log_p).sum(-2, keepdim=True) - log_p)
        return self.entropy_weight * self.scale / query.shape[-2] * slopes @ query
