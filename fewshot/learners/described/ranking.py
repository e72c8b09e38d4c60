"""What learners of a bilinear ranking share: stochastic gradient descent on violated margins.

The compatibility of an item x and a class described by s is F = xᵀ W s, with s of unit length. Wrong classes should score a
margin below the right one. A learner has the options of the descent (``margin``, ``learning_rate``, ``epochs``, ``batch``,
``seed``), the ``matrix`` W once that is learned, and a rule of its own: which violations count, and how much.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.described.descriptors import base_classes, class_descriptors, require_base
from fewshot.plumbing.number_checks import keep_whole_numbers


def learn_ranking(learner: Any, base: SupportSet) -> Float[Tensor, "dim length"]:
    """The matrix W after some passes over the base items, in a new random order each; it starts at zero.

    An item of class y adds rate · Σ_j w_j x (s_y - s_j)ᵀ, the weights w_j being the learner's. Those of a batch are found at
    the same W and their additions summed, so that rate and passes keep their meaning whatever the size of the batch.

    Args:
        learner: ``learner.weigh(excess, generator)`` weighs wrong classes, ``(b, z)``, by how far they exceed what the margin
            allows, margin + F_j - F_y; only one above 0 violates it. The right class has an excess of -inf. Orders and what
            is drawn there come from the learner's seed; the global state is untouched.
        base: Items, labels and descriptors of the base classes.

    Raises:
        EpisodeError: If base classes lack items or descriptors, or there is one only.
        FewShotError: If W grows beyond what floats can hold.
    """
    x, y, described = base_classes(base)
    described = normalize(described, dim=-1)
    if len(described) < 2:
        raise EpisodeError(f"a ranking needs at least two base classes, got {len(described)}")
    rate, generator = learner.learning_rate, torch.Generator().manual_seed(learner.seed)
    w = x.new_zeros(x.shape[1], described.shape[1])
    for _ in range(learner.epochs):
        order = torch.randperm(len(x), generator=generator).to(x.device)
        for rows in torch.split(order, learner.batch):
            items, own = x[rows], y[rows, None]
            scores = _finite(items @ w @ described.mT, rate)  # (b, z)
            excess = (scores - scores.gather(1, own) + learner.margin).scatter(1, own, -torch.inf)
            weights = learner.weigh(excess, generator)
            towards = weights.sum(1, keepdim=True) * described[own[:, 0]] - weights @ described  # Σ_j w_j (s_y - s_j)
            w.addmm_(items.mT, towards, alpha=rate)
    _finite(x @ w, rate)
    return w


def compatibility(learner: Any, support: SupportSet) -> Classifier:
    """Scores F = xᵀ W s by the descriptors of the new classes; support items play no part.

    Raises:
        NotFittedError: If no base classes were seen.
        EpisodeError: If descriptors are missing, not finite, or not as long as those of the base classes.
    """
    matrix = require_base(learner.matrix, type(learner).__name__)
    s = normalize(class_descriptors(support, matrix.shape[1]), dim=-1)  # (e, n_way, length)
    return lambda query: query @ matrix.to(query) @ s.to(query).mT  # (e, q, n_way)


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


def check_options(learner: Any) -> None:
    """Refuse options of the descent that are out of range.

    Raises:
        FewShotError: If margin or rate are not above 0, or counts no whole numbers from 1.
    """
    for name in ("margin", "learning_rate"):
        if not getattr(learner, name) > 0:
            raise FewShotError(f"{name} must be above 0, got {getattr(learner, name)}")
    keep_whole_numbers(learner, epochs=1, batch=1, seed=0)
