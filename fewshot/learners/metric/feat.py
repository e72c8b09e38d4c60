"""FEAT: the class means of an episode look at one another and move, by a Transformer's self-attention.

Paper: Ye, Hu, Zhan and Sha, "Few-Shot Learning via Embedding Adaptation with Set-to-Set Functions",
    CVPR 2020, the sections on the Transformer as a set-to-set function and on its contrastive learning.
Code: github.com/Sha-Lab/FEAT, ``model/models/feat.py``, Euclidean form. Differences: dropout draws from
    the episodes' own seeds; classes may have unequal numbers of items. Defaults are those published for
    Conv-4 and one shot.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError, ShapeError
from fewshot.functional import class_means, squared_distances
from fewshot.plumbing.number_checks import whole_number

Drop = Callable[[Tensor, float], Tensor]  # (values, rate) -> values, some of them zero


class FEAT(nn.Module):
    """Scores are −‖z − ψ(c)_k‖² / temperature to the adapted class means ψ(c).

    Args:
        dim: Size of the features.
        temperature: Of the scores.
        balance: Weight of the contrastive term in the loss.
        contrast_temperature: Of the scores in that term.
        dropout: Rate after the last linear layer, in training.
        attention_dropout: Rate of the attention weights, in training.
        seed: Of the initial weights.

    Raises:
        FewShotError: If ``dim`` is no whole number from 1, a temperature is not above 0, or a rate not in [0, 1).
    """

    def __init__(
        self,
        dim: int,
        temperature: float = 64.0,
        balance: float = 1.0,
        contrast_temperature: float = 16.0,
        dropout: float = 0.5,
        attention_dropout: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        dim = whole_number("dim", dim, 1)
        if not (
            min(temperature, contrast_temperature) > 0 <= balance and 0 <= dropout < 1 and 0 <= attention_dropout < 1
        ):
            raise FewShotError(
                "temperatures must be above 0, balance from 0, and rates of dropout in [0, 1), got "
                f"{temperature}, {contrast_temperature}, {balance}, {dropout} and {attention_dropout}"
            )
        self.dim, self.temperature = dim, float(temperature)
        self.balance, self.contrast_temperature = float(balance), float(contrast_temperature)
        self.dropout, self.attention_dropout = dropout, attention_dropout
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.queries, self.keys, self.values = (nn.Linear(dim, dim, bias=False) for _ in range(3))
            self.out, self.norm = nn.Linear(dim, dim), nn.LayerNorm(dim)
            for layer in (self.queries, self.keys, self.values):
                nn.init.normal_(layer.weight, std=dim**-0.5)
            nn.init.xavier_normal_(self.out.weight)

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Average each class and let the averages adapt to one another.

        Raises:
            EpisodeError: If a class has no example, or an episode has no seed in training.
            ShapeError: If the features are not of size ``dim``.
        """
        if support.x.shape[-1] != self.dim:
            raise ShapeError(
                f"features must be of size {self.dim}, got {support.x.shape[-1]}; make FEAT with another dim"
            )
        means = class_means(support.x, support.y, support.n_way)
        prototypes = self.transform(means.to(self.out.weight), self._drop(support)).to(means)
        return lambda query: -squared_distances(query, prototypes) / self.temperature  # (e, q, n_way)

    def transform(
        self, items: Float[Tensor, "*e n dim"], drop: Drop, together: Bool[Tensor, "*e n n"] | None = None
    ) -> Float[Tensor, "*e n dim"]:
        """Self-attention with one head, residual and layer norm: the set-to-set function.

        Args:
            items: Members of a set.
            drop: Dropout.
            together: Which of them look at which; all at all when left out.
        """
        affinity = self.queries(items) @ self.keys(items).mT / self.dim**0.5
        if together is not None:
            affinity = affinity.masked_fill(~together, -torch.inf)
        seen = drop(affinity.softmax(-1), self.attention_dropout) @ self.values(items)
        adapted: Tensor = self.norm(items + drop(self.out(seen), self.dropout))
        return adapted

    def loss(self, support: SupportSet, query: Tensor, labels: Integer[Tensor, "e q"]) -> Float[Tensor, ""]:
        """Cross-entropy of the scores, and ``balance`` times that of the contrastive term; lower is better.

        There each class, support and queries together, is a set of its own; all items are
        classified by their distance to the means of the adapted sets.
        """
        own = cross_entropy(self.adapt(support)(query).flatten(0, 1), labels.flatten())
        x, y = torch.cat([support.x, query], 1), torch.cat([support.y, labels], 1)
        adapted = self.transform(x, self._drop(support), y.unsqueeze(-1) == y.unsqueeze(-2))
        centres = class_means(adapted, y, support.n_way)
        scores = -squared_distances(x, centres) / self.contrast_temperature
        return own + self.balance * cross_entropy(scores.flatten(0, 1), y.flatten())

    def _drop(self, support: SupportSet) -> Drop:
        """Dropout with the random numbers of each episode; nothing in eval mode."""
        if not self.training:
            return lambda values, rate: values
        single = support.y.ndim == 1
        generators = [support.generator()] if single else [support[k].generator() for k in range(len(support))]

        def drop(values: Tensor, rate: float) -> Tensor:
            each = [torch.rand(values.shape[-2:], generator=generator) for generator in generators]
            kept = (each[0] if single else torch.stack(each)) >= rate
            return values * kept.to(values) / (1 - rate)

        return drop
