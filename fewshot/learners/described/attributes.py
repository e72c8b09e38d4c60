"""What learners of binary attributes share: which classes have which attributes, and how well these fit an item.

Paper: Lampert, Nickisch and Harmeling, "Attribute-Based Classification for Zero-Shot Visual Object Categorization", TPAMI 2014.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.described.descriptors import class_descriptors

MEANS, PRIORS = ("table-mean", "attribute-mean"), ("base", "uniform")


def check_attribute_options(threshold: str | float, prior: str, C: float) -> None:
    """Refuse options that are out of range.

    Raises:
        FewShotError: If the threshold is neither a mean nor a number, the prior is not known, or C is not above 0.
    """
    if threshold not in MEANS and (isinstance(threshold, str) or not math.isfinite(threshold)):
        raise FewShotError(f"threshold must be one of {', '.join(MEANS)}, or a finite number, got {threshold!r}")
    if prior not in PRIORS:
        raise FewShotError(f"prior must be one of {', '.join(PRIORS)}, got '{prior}'")
    if not C > 0:
        raise FewShotError(f"C must be above 0, got {C}")


def binary_attributes(
    described: Float[Tensor, "z length"], threshold: str | float
) -> tuple[Float[Tensor, " length"], Float[Tensor, "z length"]]:
    """What a number must exceed for the attribute to be there, and p(a_m = 1 | k): 1 where base class k has it, else 0.

    An attribute that all base classes have, or none, tells nothing and can be learned by nobody: it gets 1/2 everywhere.

    Args:
        described: Descriptors of the base classes.
        threshold: ``"table-mean"`` is one number, the mean of the whole table, ``"attribute-mean"`` one for each attribute.

    Raises:
        EpisodeError: If no attribute tells base classes apart.
    """
    means = {"table-mean": described.mean(), "attribute-mean": described.mean(0)}
    level = means[threshold] if isinstance(threshold, str) else torch.tensor(threshold).to(described)
    has = described > level
    varies = has.any(0) & ~has.all(0)
    if not bool(varies.any()):
        raise EpisodeError(
            f"an attribute must be there in some base classes and not in others, got none with threshold {threshold!r} "
            f"among {len(described)} classes; choose another threshold"
        )
    return level.expand(len(varies)), torch.where(varies, has.to(described), 0.5)


def attribute_prior(share: Float[Tensor, "z length"], prior: str) -> Float[Tensor, " length"]:
    """p(a_m = 1): the mean over base classes, each of which counts once, or 1/2."""
    return share.mean(0) if prior == "base" else torch.full_like(share[0], 0.5)


def signatures(support: SupportSet, level: Float[Tensor, " length"]) -> Float[Tensor, "*e n_way length"]:
    """1 where a class of the support has the attribute, by the thresholds of the base classes.

    Raises:
        EpisodeError: If descriptors are missing, not finite, or of another length.
    """
    described = class_descriptors(support, len(level))
    return (described > level.to(described)).to(described)


def signature_scores(
    present: Float[Tensor, "*e q length"],
    absent: Float[Tensor, "*e q length"],
    has: Float[Tensor, "*e n_way length"],
    prior: Float[Tensor, " length"],
) -> Float[Tensor, "*e q n_way"]:
    """Σ_m log p(a_m = a_m^c | x) / p(a_m = a_m^c) of every class c.

    Args:
        present: log p(a_m = 1 | x).
        absent: log p(a_m = 0 | x).
        has: a_m^c.
        prior: p(a_m = 1).
    """
    has, prior = has.to(present), prior.to(present)
    return (present - prior.log()) @ has.mT + (absent - (1 - prior).log()) @ (1 - has).mT
