"""Label propagation: labels spread over a graph of support and queries, in closed form.

Paper: Zhou, Bousquet, Lal, Weston and Schölkopf, "Learning with Local and Global Consistency", NIPS 2003, section 2:
    the closed form and its variants; on the graph of Liu et al., "Learning to Propagate Labels: Transductive
    Propagation Network for Few-shot Learning", ICLR 2019, section 3.2.
Code: github.com/csyanbin/TPN, ``models.py``. Intended differences: it learns a length scale for every item; it counts
    the item itself as a neighbour, with affinity 1, where Zhou et al. and this learner have none; it adds machine
    epsilons. Its graph is ``neighbours=20, normalise="both"`` here, and scikit-learn's ``LabelSpreading(kernel="rbf")``
    is ``neighbours=None, normalise="both", balance=False``.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import cholesky, class_membership, require_every_class
from fewshot.learners.transductive.gram import gram, neighbours
from fewshot.plumbing.number_checks import keep_whole_numbers


@dataclass(frozen=True)
class LabelPropagation:
    """Scores are the logarithms of the shares of the classes in a row of F = (I − alpha P)⁻¹ Y.

    The affinity W of neighbours is exp(−‖z_i − z_j‖² / 2 σ²), else 0, also between an item and itself; D holds its row
    sums. No balance of the queries is assumed.

    Attributes:
        alpha: How far labels go: 0 or more, below 1.
        neighbours: Two items are linked if one is among so many nearest others of the other; all are for None.
        sigma: σ, in units of the root of the mean squared distance between two items of the episode.
        relative: Whether σ has that unit; else it has that of the features.
        normalise: ``"columns"``, P = W D⁻¹, so that labels spread without loss or gain; ``"both"``, P = D^−½ W D^−½,
            which favours classes whose examples have many or close neighbours, all the more the nearer alpha is to 1.
        balance: Whether the labels Y of each class sum to 1; else each label is 1, as published, and a class with more
            examples gets more. With equal shots the answers are the same.

    Raises:
        FewShotError: If a number is out of range, or ``normalise`` is neither.
    """

    alpha: float = 0.99
    neighbours: int | None = 5
    sigma: float = 0.5
    relative: bool = True
    normalise: str = "columns"
    balance: bool = True

    transductive = True

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < 1:
            raise FewShotError(f"alpha must be 0 or more and below 1, got {self.alpha}")
        if self.neighbours is not None:
            keep_whole_numbers(self, neighbours=1)
        if not self.sigma > 0:
            raise FewShotError(f"sigma must be above 0, got {self.sigma}")
        if self.normalise not in ("columns", "both"):
            raise FewShotError(f"normalise must be 'columns' or 'both', got '{self.normalise}'")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Keep the support; labels spread when the queries come.

        Raises:
            EpisodeError: If a class has no example.
        """
        require_every_class(support.y, support.n_way)
        y = class_membership(support.y, support.n_way, torch.float64)
        if self.balance:
            y = y / y.sum(-2, keepdim=True)
        return lambda query: self._spread(support.x, y, query).to(query.dtype)

    def _spread(self, x: Tensor, y: Tensor, query: Tensor) -> Tensor:
        """Logarithms of shares; no path between a class and a query counts as the smallest share there is."""
        centre = x.mean(-2, keepdim=True)  # distances are the same, and keep more digits
        w = self._affinity(gram(x - centre, query - centre).double())
        tiny = torch.finfo(w.dtype).tiny
        root = w.sum(-1, keepdim=True).clamp(min=tiny).rsqrt()
        s = root * w * root.mT
        start = torch.cat([y, y.new_zeros(*query.shape[:-1], y.shape[-1])], -2)
        if self.normalise == "columns":  # W D⁻¹ = D^½ S D^−½; what D^½ adds in front, shares do not see
            start = root * start
        factor = cholesky(torch.eye(s.shape[-1], dtype=s.dtype, device=s.device) - self.alpha * s)
        f = torch.cholesky_solve(start, factor)[..., y.shape[-2] :, :]
        return f.clamp(min=tiny).log().log_softmax(-1)

    def _affinity(self, k: Tensor) -> Tensor:
        length = k.diagonal(dim1=-2, dim2=-1)
        distance = (length.unsqueeze(-1) + length.unsqueeze(-2) - 2 * k).clamp(min=0)
        n = k.shape[-1]
        unit = (
            distance.sum((-2, -1), keepdim=True) / (n * (n - 1)) if self.relative else torch.ones_like(k[..., :1, :1])
        )
        w = (-distance / (2 * self.sigma**2 * torch.where(unit > 0, unit, 1))).exp()
        near = neighbours(k, n - 1 if self.neighbours is None else self.neighbours)
        return w * torch.maximum(near, near.mT)
