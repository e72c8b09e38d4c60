"""Formulas of few-shot learning, one each, batched over episodes."""

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor

from fewshot.errors import EpisodeError


def class_means(
    x: Float[Tensor, "*e s dim"], y: Integer[Tensor, "*e s"], n_way: int
) -> Float[Tensor, "*e {n_way} dim"]:
    """Mean feature of every class: the prototypes of Snell et al. (2017), eq. 1. Shots may differ.

    Args:
        x: Support features.
        y: Class of each support row, in ``0..n_way-1``.
        n_way: Number of classes.

    Raises:
        EpisodeError: If a class has no example.
    """
    require_every_class(y, n_way)
    member = class_membership(y, n_way, x.dtype)
    return member.mT @ x / member.sum(-2).unsqueeze(-1)


def require_every_class(y: Integer[Tensor, "*e s"], n_way: int) -> None:
    """Let an episode pass only if each of its classes has a support example.

    Raises:
        EpisodeError: If a class has none.
    """
    missing = class_membership(y, n_way, torch.bool).any(-2).logical_not()
    if bool(missing.any()):
        absent = sorted(set(missing.nonzero()[:, -1].tolist()))
        raise EpisodeError(f"every class needs a support example, got none for classes {absent}")


def class_membership(y: Integer[Tensor, "*e s"], n_way: int, dtype: torch.dtype) -> Shaped[Tensor, "*e s {n_way}"]:
    """One where a support row belongs to a class, else zero."""
    return (y.unsqueeze(-1) == torch.arange(n_way, device=y.device)).to(dtype)


def squared_distances(a: Float[Tensor, "*e n dim"], b: Float[Tensor, "*e m dim"]) -> Float[Tensor, "*e n m"]:
    """Squared Euclidean distance of every row of ``a`` to every row of ``b``; never negative.

    Expanded as |a|² - 2ab + |b|² around the mean of ``b``, which costs one matrix
    product and keeps the rounding error small when all features share a large offset.
    """
    centre = b.mean(-2, keepdim=True)
    a, b = a - centre, b - centre
    a2, b2 = a.square().sum(-1, keepdim=True), b.square().sum(-1).unsqueeze(-2)
    return (a2 + b2 - 2 * (a @ b.mT)).clamp(min=0)


def rectifying_weights(
    near: Float[Tensor, "*e n_way n"], y: Integer[Tensor, "*e s"], over: str = "members"
) -> Float[Tensor, "*e n_way n"]:
    """Weights of support and queries in the rectified mean of each class: Liu et al. (2020), eqs. 5 and 6.

    Support items count for their own class, every query for the nearest one.

    Args:
        near: Scaled cosines of the support's class means to all items, support first.
        y: Class of each support row.
        over: The exponentials of the cosines are divided by their sum over the ``"members"`` of a class (the
            paper), or over the ``"classes"`` and by the number of members (the code of LaplacianShot).
    """
    label = torch.cat([y, near[..., y.shape[-1] :].max(-2).indices], -1)
    member = class_membership(label, near.shape[-2], torch.bool).mT
    if over == "members":
        return near.masked_fill(~member, -torch.inf).softmax(-1)
    return near.softmax(-2) * member / member.sum(-1, keepdim=True)
