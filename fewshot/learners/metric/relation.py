"""Relation networks: a small network, trained on episodes, compares each query with each class.

Paper: Sung, Yang, Zhang, Xiang, Torr and Hospedales, "Learning to Compare: Relation Network
    for Few-Shot Learning", CVPR 2018, section 3 (eqs. 1 and 2).
Code: github.com/floodsung/LearningToCompare_FSL, ``omniglot/omniglot_train_one_shot.py`` and
    ``miniimagenet/miniimagenet_train_few_shot.py``. Differences: batch norm has running statistics
    (there those of the test batch, also in evaluation); weights start as torch's layers do; maps are
    padded as there on Omniglot (on miniImageNet they are not). Feature vectors, which the paper has
    only for zero-shot, get the same module with a linear layer for each convolution and its pooling.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, mse_loss

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError, ShapeError
from fewshot.functional import class_membership, require_every_class
from fewshot.plumbing.number_checks import whole_number


class RelationNet(nn.Module):
    """Scores are relations r = g([c_k, z]) in 0..1 of a query z to the sum c_k of each class; they rank.

    Args:
        dim: Size of the feature vectors, or ``(channels, height, width)`` of feature maps.
        combine: How the examples of a class become one: ``"sum"`` as in the paper, or ``"mean"``.
        width: Channels, or units, of the two wide layers.
        hidden: Units of the layer before the last.
        seed: Of the initial weights.

    Raises:
        FewShotError: If ``dim`` is neither, ``combine`` is neither, or maps have less than 4 pixels a side.
    """

    scores = "rank"

    def __init__(
        self, dim: int | Sequence[int], combine: str = "sum", width: int = 64, hidden: int = 8, seed: int = 0
    ) -> None:
        super().__init__()
        if combine not in ("sum", "mean"):
            raise FewShotError(f"combine must be 'sum' or 'mean', got '{combine}'")
        self.shape, self.combine = _shape(dim), combine
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.relation = RelationModule(self.shape, width, hidden)

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Add up each class; queries are compared with the sums.

        Raises:
            EpisodeError: If a class has no example.
            ShapeError: If features are not of the shape that the module was made for.
        """
        require_every_class(support.y, support.n_way)
        items = self._checked(support.x)
        share = class_membership(support.y, support.n_way, items.dtype)
        share = share / share.sum(-2, keepdim=True) if self.combine == "mean" else share
        classes = share.mT @ items.flatten(support.y.ndim)  # (e, n_way, values)
        classes = classes.reshape(*classes.shape[:-1], *self.shape)
        return lambda query: self.relation(classes, self._checked(query))

    def loss(self, support: SupportSet, query: Tensor, labels: Integer[Tensor, "e q"]) -> Float[Tensor, ""]:
        """Mean squared error of the relations to 1 for the query's class and 0 for the others (eq. 2); lower is better.

        Episodes go through the module one by one: batch statistics are those of one episode.
        """
        relations = [self.adapt(support[k : k + 1])(query[k : k + 1]) for k in range(len(support))]
        return mse_loss(torch.cat(relations), class_membership(labels, support.n_way, query.dtype))

    def _checked(self, items: Tensor) -> Tensor:
        if tuple(items.shape[-len(self.shape) :]) != self.shape:
            raise ShapeError(
                f"features must be of shape {self.shape}, got items {tuple(items.shape)}; make RelationNet with another dim"
            )
        weight = next(self.relation.parameters(), None)
        return items if weight is None else items.to(weight)


class RelationModule(nn.Module):
    """The network g: two blocks of convolution, batch norm, ReLU and pooling, then two linear layers and a sigmoid."""

    def __init__(self, shape: tuple[int, ...], width: int, hidden: int) -> None:
        super().__init__()
        self.shape, flat = shape, width
        self.first: nn.Conv2d | nn.Linear = nn.Linear(2 * shape[0], width)
        layers: list[nn.Module] = [nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
        if len(shape) == 3:
            self.first = nn.Conv2d(2 * shape[0], width, 3, padding=1)
            block = [nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
            again = [nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
            layers, flat = (
                [*block, nn.Conv2d(width, width, 3, padding=1), *again],
                width * (shape[1] // 4) * (shape[2] // 4),
            )
        self.rest = nn.Sequential(*layers, nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Sigmoid())

    def forward(self, classes: Tensor, query: Tensor) -> Float[Tensor, "*e q n_way"]:
        """Relations of all pairs.

        The first layer is linear in the pair [class, query], so each half goes through its half of the
        weights once, and only their sums are made for all pairs.
        """
        of_class, of_query = self.first.weight.chunk(2, 1)
        pairs = self._half(classes, of_class).unsqueeze(-2 - len(self.shape)) + self._half(
            query, of_query, self.first.bias
        ).unsqueeze(-1 - len(self.shape))
        relations: Tensor = self.rest(pairs.flatten(0, -1 - len(self.shape)))
        return relations.reshape(pairs.shape[: -len(self.shape)])

    def _half(self, items: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if len(self.shape) == 1:
            return linear(items, weight, bias)
        maps = conv2d(items.flatten(0, -4), weight, bias, padding=1)
        return maps.reshape(*items.shape[:-3], *maps.shape[1:])


def _shape(dim: int | Sequence[int]) -> tuple[int, ...]:
    sizes = dim if isinstance(dim, Sequence) else (dim,)
    shape = tuple(whole_number("every number of dim", n, 1) for n in sizes)
    if len(shape) not in (1, 3) or min(shape[1:], default=4) < 4:
        raise FewShotError(
            f"dim must be the size of a feature vector, or (channels, height, width) with 4 pixels a side, got {dim!r}"
        )
    return shape
