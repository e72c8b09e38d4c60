"""What learners that read descriptions of classes share: the checks of the descriptors, of base classes and of new ones."""

from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Items, SupportSet
from fewshot.errors import EpisodeError, NotFittedError
from fewshot.functional import require_every_class, require_finite


def class_descriptors(support: SupportSet, length: int | None = None) -> Float[Tensor, "*e n_way length"]:
    """The descriptors of a support's classes, as floats of the items' precision.

    Args:
        support: Any number of episodes.
        length: How many numbers describe a class; any when left out.

    Raises:
        EpisodeError: If there is none, one is not finite, or they have another length.
    """
    given = _given(support)
    if not isinstance(given, Tensor):
        raise EpisodeError(
            "descriptors must be numbers here, got texts; embed them first, with Embedded(..., side=...)"
        )
    described = given.to(support.x).flatten(support.y.ndim)
    if not bool(described.isfinite().all()):
        raise EpisodeError("descriptors must be finite, got nan or infinity; replace or leave out those attributes")
    if length is not None and described.shape[-1] != length:
        raise EpisodeError(
            f"classes must be described by {length} numbers, as the base classes were, got {described.shape[-1]}"
        )
    return described


def class_texts(support: SupportSet) -> list[str]:
    """The descriptors of one episode's classes, where they are texts.

    Args:
        support: One episode, without its axis.

    Raises:
        EpisodeError: If there is none, or they are no texts.
    """
    given = _given(support)
    if isinstance(given, Tensor) or given.dtype.kind not in "TU" or given.ndim != 1:
        raise EpisodeError(
            "descriptors must be the names of the classes here, as texts, got numbers or several texts a class; "
            "give the collection an array of strings as descriptors"
        )
    return [str(text) for text in given]


def _given(support: SupportSet) -> Items:
    if support.descriptors is None:
        raise EpisodeError(
            "zero-shot learners need a descriptor of each class, got none; give the collection descriptors=..."
        )
    return support.descriptors


def unit_items_and_descriptors(
    support: SupportSet,
) -> tuple[Float[Tensor, "*e s dim"], Float[Tensor, "*e n_way dim"]]:
    """Features of the items and descriptors of the classes, each of length 1, in the space that they share.

    Raises:
        EpisodeError: If descriptors are missing or not as long as features, or a number is not finite.
    """
    described = class_descriptors(support)
    if described.shape[-1] != support.x.shape[-1]:
        raise EpisodeError(
            f"descriptors must lie in the space of the features, of {support.x.shape[-1]} numbers, got "
            f"{described.shape[-1]}; embed both with a pair of encoders, Embedded(..., side=...)"
        )
    require_finite(support.x)
    return normalize(support.x, dim=-1), normalize(described, dim=-1)


def base_classes(
    base: SupportSet,
) -> tuple[Float[Tensor, "n dim"], Integer[Tensor, " n"], Float[Tensor, "z length"]]:
    """Items, labels and descriptors of base classes, as double, without the episode axis.

    Raises:
        EpisodeError: If a base class has no item, items are not finite, or descriptors are missing or not finite.
    """
    require_every_class(base.y, base.n_way)
    described = class_descriptors(base).reshape(base.n_way, -1)
    x = base.x.flatten(0, base.y.ndim - 1).flatten(1).double()
    if not bool(x.isfinite().all()):
        bad = int((~x.isfinite()).any(1).sum())
        raise EpisodeError(
            f"items of base classes must be finite, got nan or infinity in {bad} of {len(x)}; replace or leave out those"
        )
    return x, base.y.flatten(), described.double()


def require_base(fitted: Tensor | None, name: str) -> Tensor:
    """What a learner has found on its base classes.

    Raises:
        NotFittedError: If it has seen none.
    """
    if fitted is None:
        raise NotFittedError(
            f"{name} learns from base classes, got none; call learner.with_base(base) first, or give --base train"
        )
    return fitted
