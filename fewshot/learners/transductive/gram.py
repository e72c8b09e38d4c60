"""Episodes as inner products: all that some transductive learners need to know of their features.

The Gram matrix ``k`` of an episode holds the inner products of all its items, support first, then queries. A point
in the span of the items is a row of coefficients. So features are read once, whatever their number, and what follows
costs as much as a few small matrices.
"""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from fewshot.errors import EpisodeError
from fewshot.functional import class_membership, require_every_class


def gram(x: Float[Tensor, "*e s dim"], query: Float[Tensor, "*e q dim"]) -> Float[Tensor, "*e n n"]:
    """Inner products of all items of an episode, ``n = s + q``."""
    items = torch.cat([x, query], -2)
    return items @ items.mT


def unit(k: Float[Tensor, "*e n n"]) -> Float[Tensor, "*e n n"]:
    """Inner products after every item was divided by its length; an item of length 0 stays."""
    length = _lengths(k)
    return k / length.unsqueeze(-1) / length.unsqueeze(-2)


def moved(k: Float[Tensor, "*e n n"], amount: Float[Tensor, " n"], by: Float[Tensor, " n"]) -> Float[Tensor, "*e n n"]:
    """Inner products after every item moved by its amount of the point with coefficients ``by``."""
    toward = k @ by
    half = toward + (toward @ by).unsqueeze(-1) * amount / 2  # the square of the step is shared by both sides
    return k + amount.unsqueeze(-1) * half.unsqueeze(-2) + half.unsqueeze(-1) * amount


def to_the_support(s: int, query: Float[Tensor, "*e q dim"]) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """What `moved` needs to give the queries the mean of the support: Liu et al. (2020), eq. 8.

    Raises:
        EpisodeError: If there is one query only, which would land on the mean whatever it is.
    """
    q = query.shape[-2]
    if q < 2:
        raise EpisodeError(
            f"queries that are shifted to the support's mean must be two or more, got {q}; answer them in one call"
        )
    ones = query.new_ones(s + q)
    of_query = torch.cat([0 * ones[:s], ones[s:]])
    return of_query, (1 - of_query) / s - of_query / q


def class_means(y: Integer[Tensor, "*e s"], n_way: int, like: Float[Tensor, "*e n n"]) -> Float[Tensor, "*e {n_way} n"]:
    """Coefficients of the means of the support's classes.

    Raises:
        EpisodeError: If a class has no example.
    """
    require_every_class(y, n_way)
    member = class_membership(y, n_way, like.dtype).mT
    mean = member / member.sum(-1, keepdim=True)
    return torch.cat([mean, mean.new_zeros(*mean.shape[:-1], like.shape[-1] - y.shape[-1])], -1)


def cosines(k: Float[Tensor, "*e n n"], points: Float[Tensor, "*e m n"]) -> Float[Tensor, "*e m n"]:
    """Cosine of every point with every item; 0 where one of them is 0."""
    products = points @ k
    lengths = (products * points).sum(-1, keepdim=True).clamp(min=torch.finfo(k.dtype).tiny).sqrt()
    return products / lengths / _lengths(k).unsqueeze(-2)


def squared_distances(k: Float[Tensor, "*e n n"], points: Float[Tensor, "*e m n"]) -> Float[Tensor, "*e m n"]:
    """Squared Euclidean distance of every point to every item; never negative."""
    products = points @ k
    squares = (products * points).sum(-1, keepdim=True)
    return (squares - 2 * products + k.diagonal(dim1=-2, dim2=-1).unsqueeze(-2)).clamp(min=0)


def neighbours(k: Float[Tensor, "*e n n"], count: int) -> Float[Tensor, "*e n n"]:
    """One where the column is among the nearest other items of the row, else 0; all others where there are fewer."""
    nearness = 2 * k - k.diagonal(dim1=-2, dim2=-1).unsqueeze(-2)  # the row's |z|² less the squared distance
    nearness = nearness.masked_fill(torch.eye(k.shape[-1], dtype=torch.bool, device=k.device), -torch.inf)
    return torch.zeros_like(k).scatter(-1, nearness.topk(min(count, k.shape[-1] - 1)).indices, 1.0)


def _lengths(k: Float[Tensor, "*e n n"]) -> Float[Tensor, "*e n"]:
    return k.diagonal(dim1=-2, dim2=-1).clamp(min=torch.finfo(k.dtype).tiny).sqrt()
