"""What learners of a bilinear ranking share: stochastic gradient descent on violated margins.

The compatibility of an item x and a class described by s is F = xᵀ W s. Wrong classes should score a margin below
the right one; learners differ in which violations count, and how much.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from fewshot.errors import EpisodeError, FewShotError

Rule = Callable[[Tensor, torch.Generator], Tensor]  # (excess (b, z), generator) -> weights (b, z) of violating classes


def learn_ranking(
    x: Float[Tensor, "n dim"],
    y: Integer[Tensor, " n"],
    described: Float[Tensor, "z length"],
    rule: Rule,
    *,
    margin: float,
    learning_rate: float,
    epochs: int,
    batch: int,
    seed: int,
) -> Float[Tensor, "dim length"]:
    """The matrix W after some passes over the items, in a new random order each; it starts at zero.

    An item of class y adds rate · Σ_j w_j x (s_y - s_j)ᵀ, the weights w_j being the rule's. Those of a batch are found at
    the same W and their additions summed, so that rate and passes keep their meaning whatever the size of the batch.

    Args:
        x: Items of the base classes.
        y: Their classes.
        described: Descriptors of the classes.
        rule: Weighs wrong classes by how far they exceed what the margin allows, margin + F_j - F_y; only one
            above 0 violates it. The right class has an excess of -inf.
        margin: How far below the right class a wrong one should score.
        learning_rate: Step length.
        epochs: Passes over the items.
        batch: Items of one step; 1 is plain stochastic gradient descent.
        seed: Of the orders, and of what the rule draws; the global state is untouched.

    Raises:
        EpisodeError: If there is one base class only.
        FewShotError: If W grows beyond what floats can hold.
    """
    if len(described) < 2:
        raise EpisodeError(f"a ranking needs at least two base classes, got {len(described)}")
    generator = torch.Generator().manual_seed(seed)
    w = x.new_zeros(x.shape[1], described.shape[1])
    for _ in range(epochs):
        order = torch.randperm(len(x), generator=generator).to(x.device)
        for rows in torch.split(order, batch):
            items, own = x[rows], y[rows, None]
            scores = _finite(items @ w @ described.mT, learning_rate)  # (b, z)
            excess = (scores - scores.gather(1, own) + margin).scatter(1, own, -torch.inf)
            weights = rule(excess, generator)
            towards = weights.sum(1, keepdim=True) * described[own[:, 0]] - weights @ described  # Σ_j w_j (s_y - s_j)
            w.addmm_(items.mT, towards, alpha=learning_rate)
    _finite(x @ w, learning_rate)
    return w


def _finite(products: Tensor, learning_rate: float) -> Tensor:
    if not bool(products.isfinite().all()):
        raise FewShotError(
            f"the learned matrix must stay finite, got nan or infinity with learning_rate {learning_rate}; "
            "choose a smaller one"
        )
    return products


def first_violation(
    excess: Float[Tensor, "b z"], generator: torch.Generator
) -> tuple[Bool[Tensor, "b z"], Integer[Tensor, " b"]]:
    """Draw wrong classes without replacement until one violates the margin.

    Args:
        excess: As a rule gets it.
        generator: Of the draws.

    Returns:
        Which class was found, nowhere true if none violates; and how many were drawn.
    """
    turn = torch.rand(excess.shape, generator=generator, dtype=torch.float64).to(excess.device)  # least is drawn first
    turn = turn.masked_fill(excess.isneginf(), torch.inf)  # never the right class
    found = torch.where(excess > 0, turn, torch.inf).amin(1, keepdim=True)
    return (turn == found) & (excess > 0), ((turn <= found) & turn.isfinite()).sum(1)


def check_options(margin: float, learning_rate: float, epochs: int, batch: int) -> None:
    """Refuse options of the descent that are out of range.

    Raises:
        FewShotError: If margin or rate are not above 0, or counts no whole numbers from 1.
    """
    for name, number in (("margin", margin), ("learning_rate", learning_rate)):
        if not number > 0:
            raise FewShotError(f"{name} must be above 0, got {number}")
    for name, count in (("epochs", epochs), ("batch", batch)):
        if not (isinstance(count, int) and count >= 1):
            raise FewShotError(f"{name} must be a whole number of at least 1, got {count}")
