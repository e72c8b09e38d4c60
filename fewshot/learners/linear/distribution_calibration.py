"""Distribution calibration: logistic regression on the support and on samples drawn around it.

Paper: Yang, Liu and Xu, "Free Lunch for Few-Shot Learning: Distribution Calibration", ICLR 2021, eqs. 1 to 7.
Code: github.com/ShuoYang-1998/Few_Shot_Distribution_Calibration, ``evaluate_DC.py``, whose readings of the paper are
    kept: statistics of base classes are those of features as they are, also where the support is transformed, and α
    is added to every entry of a covariance, not to its diagonal alone. Intended difference: with unequal shots every
    class has as many samples; logistic regression is solved to convergence.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError, NotFittedError
from fewshot.functional import class_membership, require_every_class, squared_distances
from fewshot.learners.linear.convex import multinomial_logistic
from fewshot.plumbing.number_checks import keep_whole_numbers
from fewshot.transforms import Power

TOGETHER = 2**19  # numbers of the samples that are fitted at once


@dataclass(frozen=True)
class DistributionCalibration:
    """Log-probabilities of logistic regression on support items and samples.

    Each support item z borrows from its k nearest base classes: samples are normal with mean (z + Σ μ_b) / (k + 1)
    and covariance Σ Σ_b / k + α. They come from the episode's seed.

    Attributes:
        power: λ of Tukey's transform of support and queries; 1 leaves features as they are, of any sign.
        neighbours: k.
        spread: α.
        samples: Samples of each class, shared by its items.
        C: Inverse strength of the penalty on the weights.
        means: Of the base classes, found by `with_base`.
        roots: Of their covariances, Σ_b = R_bᵀ R_b, one for each class.

    Raises:
        FewShotError: If an option is out of its range.
    """

    power: float = 0.5
    neighbours: int = 2
    spread: float = 0.21
    samples: int = 750
    C: float = 1.0
    means: Float[Tensor, "b dim"] | None = None
    roots: tuple[Float[Tensor, "_ dim"], ...] | None = None

    def __post_init__(self) -> None:
        keep_whole_numbers(self, neighbours=1, samples=1)
        for name in ("power", "C"):
            if not getattr(self, name) > 0:
                raise FewShotError(f"{name} must be above 0, got {getattr(self, name)}")
        if not self.spread >= 0:
            raise FewShotError(f"spread must be at least 0, got {self.spread}")

    def with_base(self, base: SupportSet) -> "DistributionCalibration":
        """The same learner with mean and covariance of every base class; a class of one item has none of the latter.

        Raises:
            FewShotError: If base classes are fewer than neighbours.
            EpisodeError: If a base class has no item.
        """
        require_every_class(base.y, base.n_way)
        if base.n_way < self.neighbours:
            raise FewShotError(
                f"neighbours must be at most the number of base classes, {base.n_way}, got {self.neighbours}"
            )
        x, y = base.x.flatten(0, -2).double(), base.y.flatten()
        groups = [x[y == k] for k in range(base.n_way)]
        means = torch.stack([rows.mean(0) for rows in groups])
        roots = tuple(_root(rows - mean) for rows, mean in zip(groups, means, strict=True))
        return replace(self, means=means, roots=roots)

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Draw samples and fit; the support is a constant here: no gradient flows back to it.

        Raises:
            NotFittedError: If no base classes were seen.
            EpisodeError: If a class has no example, a feature is negative, or the support has no seed.
            FewShotError: If a gradient with respect to the support is requested.
        """
        require_every_class(support.y, support.n_way)
        if torch.is_grad_enabled() and support.x.requires_grad:
            raise FewShotError(
                "distribution calibration cannot train a backbone through its support; adapt under no_grad"
            )
        alone = support.y.ndim == 1
        episodes = [support] if alone else [support[k] for k in range(len(support))]
        each = max(1, TOGETHER // (support.n_way * self.samples * support.x.shape[-1]))
        with torch.no_grad():
            parts = [self._fit(episodes[k : k + each]) for k in range(0, len(episodes), each)]
        weights, intercept = (torch.cat(part)[0] if alone else torch.cat(part) for part in zip(*parts, strict=True))

        def classify(query: Tensor) -> Tensor:
            logits = self._transformed(query).double() @ weights + intercept
            return logits.log_softmax(-1).to(query.dtype)

        return classify

    def _fit(self, episodes: list[SupportSet]) -> tuple[Float[Tensor, "e dim n"], Float[Tensor, "e 1 n"]]:
        """Weights and intercepts; episodes of fewer items are filled up with items of no weight."""
        n_way = episodes[0].n_way
        drawn = [self._with_samples(self._transformed(e.x).double(), e) for e in episodes]
        targets = [class_membership(y, n_way, torch.float64) for _, y in drawn]
        x = pad_sequence([x for x, _ in drawn], batch_first=True)
        penalty = (2 if n_way == 2 else 1) / self.C  # on one weight vector for two classes, as scikit-learn
        return multinomial_logistic(x, pad_sequence(targets, batch_first=True), penalty)

    def _transformed(self, z: Tensor) -> Tensor:
        return z if self.power == 1 else Power(self.power)(z)

    def _with_samples(
        self, x: Float[Tensor, "s dim"], support: SupportSet
    ) -> tuple[Float[Tensor, "n dim"], Integer[Tensor, " n"]]:
        """Support items, then samples class by class."""
        mean, roots = self._calibrated(x)
        generator, items, labels = support.generator(), [x], [support.y]
        for k in range(support.n_way):
            own = (support.y == k).nonzero()[:, 0].tolist()
            each = max(self.samples // len(own), 1)
            for i in own:
                noise = [
                    torch.randn(each, len(r), generator=generator, dtype=x.dtype).to(x.device) @ r for r in roots[i]
                ]
                items.append(mean[i] + torch.stack(noise).sum(0))
            labels.append(support.y.new_full((each * len(own),), k))
        return torch.cat(items), torch.cat(labels)

    def _calibrated(self, x: Float[Tensor, "s dim"]) -> tuple[Float[Tensor, "s dim"], list[list[Tensor]]]:
        """Mean and roots of the covariance around every support item, whose squares add up to it: eq. 6."""
        if self.means is None or self.roots is None:
            raise NotFittedError(
                "distribution calibration needs base classes, got none; call learner.with_base(base) first"
            )
        means = self.means.to(x)
        near = squared_distances(x, means).topk(self.neighbours, largest=False).indices  # (s, k)
        mean = (x + means[near].sum(1)) / (self.neighbours + 1)
        everywhere = torch.full_like(x[:1], self.spread**0.5)  # α is the square of one shared coordinate
        share = self.neighbours**-0.5
        return mean, [[*(share * self.roots[b].to(x) for b in of), everywhere] for of in near.tolist()]


def _root(apart: Float[Tensor, "n dim"]) -> Float[Tensor, "r dim"]:
    """R with RᵀR the covariance of centred rows, divisor n - 1."""
    triangle: Tensor = torch.linalg.qr(apart, mode="r")[1]
    return triangle / math.sqrt(max(len(apart) - 1, 1))
