"""The contract: a learner adapts to a support set and returns a classifier.

``scores = learner.adapt(support)(query)`` is the one line behind evaluation,
training, deployment and every table. Arrays lead with an episode axis ``e``,
so that one call answers for many episodes; nothing is remembered between two
calls. Zero-shot is the same thing with an empty support set and descriptors.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, Generic, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from typing_extensions import TypeVar

from fewshot.claims import claims_of
from fewshot.errors import EpisodeError, ShapeError
from fewshot.plumbing.number_checks import whole_number
from fewshot.plumbing.number_range import require_numbers, require_range, require_told_apart

Items = Tensor | np.ndarray  # an array of strings is a NumPy StringDType array
ItemsT = TypeVar("ItemsT", bound=Items, default=Tensor)
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
Classifier = Callable[[ItemsT], Tensor]  # (e, q, *item) -> scores (e, q, n_way), higher is more likely


AXES = ("x", "y", "descriptors", "unlabelled", "seed", "domain")
"""Fields of a support set that lead with the episode axis."""

FLOATS = (torch.float32, torch.float64)
WIDE = (torch.int32, torch.int64, torch.uint32, torch.uint64)  # whole numbers that float32 cannot hold


@dataclass(frozen=True, eq=False)
class SupportSet(Generic[ItemsT]):
    """What a learner may see of a batch of episodes: never a query label.

    Attributes:
        x: Support items, ``(e, s, *item)``; ``s = 0`` is zero-shot.
        y: Their classes in ``0..n_way-1``, ``(e, s)``, in no particular order.
        n_way: Number of classes in every episode.
        descriptors: Attributes, vectors or names of the classes, ``(e, n_way, *side)``.
        unlabelled: A pool without labels, ``(e, u, *item)``, for semi-supervised learners.
        seed: One seed per episode, ``(e,)``, from the sampler's seed and the episode's index.
        domain: Number of the source that each example comes from, ``(e, s)``, where there are several.

    Raises:
        ShapeError: If the axes of items, labels, descriptors, pool, seeds and domains do not fit.
        EpisodeError: If labels are no whole numbers or lie outside ``0..n_way-1``, there is no class, or items and labels are
            on two devices.
    """

    x: ItemsT
    y: Integer[Tensor, "*e s"]
    n_way: int
    descriptors: Items | None = None
    unlabelled: Items | None = None
    seed: Tensor | None = None
    domain: Integer[Tensor, "*e s"] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.y, Tensor) or self.y.dtype not in WHOLE:
            kind = self.y.dtype if isinstance(self.y, Tensor) else type(self.y).__name__
            raise EpisodeError(
                f"labels must be a tensor of whole numbers from 0, got {kind}; number the classes, as a torch.long tensor"
            )
        lead = tuple(self.y.shape)
        object.__setattr__(self, "n_way", whole_number("n_way", self.n_way, error=EpisodeError))
        if self.n_way < 1:
            raise EpisodeError(f"an episode needs at least one class, got n_way {self.n_way}")
        if tuple(self.x.shape[: len(lead)]) != lead:
            raise ShapeError(f"items must start with the axes of the labels {lead}, got items {tuple(self.x.shape)}")
        if isinstance(self.x, Tensor):
            require_one_device("items and labels", self.x, self.y)
        require_numbers("labels", self.y, error=EpisodeError)
        if self.y.numel() and (int(self.y.min()) < 0 or int(self.y.max()) >= self.n_way):
            raise EpisodeError(
                f"labels must lie in 0..{self.n_way - 1}, got {sorted(set(self.y.flatten().tolist()))}; "
                "relabel the episode's classes first"
            )
        self._check_axes("descriptors", self.descriptors, (*lead[:-1], self.n_way))
        self._check_axes("unlabelled items", self.unlabelled, lead[:-1])
        self._check_axes("seeds", self.seed, lead[:-1])
        if self.domain is not None and self.domain.shape != self.y.shape:
            raise ShapeError(f"domains must have the shape of the labels {lead}, got {tuple(self.domain.shape)}")

    @staticmethod
    def _check_axes(what: str, items: Items | None, lead: tuple[int, ...]) -> None:
        require_numbers(what, items, error=EpisodeError)
        if items is not None and tuple(items.shape[: len(lead)]) != lead:
            raise ShapeError(f"{what} must start with the axes {lead}, got {tuple(items.shape)}")

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.y) if self.y.ndim > 1 else 1

    def __getitem__(self, k: int | slice) -> "SupportSet[ItemsT]":
        """One episode without its axis (an int), or some episodes (a slice).

        Raises:
            ShapeError: If the support is one episode already.
        """
        if self.y.ndim == 1:
            raise ShapeError(
                f"only a batch of episodes can be indexed, got one episode with labels {tuple(self.y.shape)}"
            )

        def pick(items: Any) -> Any:
            return None if items is None else items[k]

        return replace(self, **{name: pick(getattr(self, name)) for name in AXES})

    def map(self, f: Callable[[Any], Tensor]) -> "SupportSet[Tensor]":
        """The same support with its items, and its unlabelled pool, sent through ``f``."""
        pool = None if self.unlabelled is None else f(self.unlabelled)
        return replace(cast("SupportSet[Tensor]", self), x=f(self.x), unlabelled=pool)

    def to(self, device: torch.device | str) -> "SupportSet[ItemsT]":
        """The same support on another device; arrays of strings stay where they are, and seeds, by which CPUs draw, too."""

        def move(items: Any) -> Any:
            return items.to(device) if isinstance(items, Tensor) else items

        return replace(self, **{name: move(getattr(self, name)) for name in AXES if name != "seed"})

    def generator(self) -> torch.Generator:
        """A fresh random generator of one episode: call it on ``support[k]``.

        Raises:
            EpisodeError: If the support has no seed, or holds more than one episode.
        """
        if self.seed is None or self.seed.numel() != 1:
            raise EpisodeError(f"a generator belongs to one episode with a seed, got seed {self.seed}; use support[k]")
        return torch.Generator().manual_seed(int(self.seed))


@runtime_checkable
class Learner(Protocol):
    """Anything with ``adapt``.

    Optional members, used where they exist: what `fewshot.claims.Claims` lists,
    ``with_base(base: SupportSet) -> Learner`` (a new learner that has seen base classes),
    ``loss(support, query, labels) -> Tensor`` (default: `episode_loss`).
    """

    def adapt(self, support: SupportSet[Any]) -> Classifier[Any]:
        """Return a classifier for the classes of the support set."""


@runtime_checkable
class Backbone(Protocol):
    """What turns items into features: pixels or texts to ``(n, dim)``.

    Optional members: ``preprocess(items)`` makes the floats that the call expects
    (without one, uint8 pixels are divided by 255); ``fingerprint()`` names weights
    and preprocessing for the feature cache; ``pretraining`` names the data that the
    weights were trained on, or is ``"nothing"``.
    """

    def __call__(self, items: Any, /) -> Any:
        """Features ``(n, dim)`` of prepared items ``(n, *item)``."""


def prepare(backbone: Any, items: Any) -> Any:
    """Items as the backbone expects them: its own ``preprocess``, or uint8 pixels divided by 255; floats in its precision.

    Raises:
        EpisodeError: If they are on another device than the backbone's parameters.
    """
    preprocess = getattr(backbone, "preprocess", None)
    if preprocess is not None:
        items = preprocess(items)
    elif isinstance(items, Tensor) and items.dtype == torch.uint8:
        items = items.float() / 255
    own = next(backbone.parameters(), None) if isinstance(backbone, nn.Module) else None
    if own is not None and isinstance(items, Tensor):
        require_one_device("a network and its items", own, items)
        if items.is_floating_point() and own.is_floating_point():
            items = items.to(own.dtype)
    return items


def features_of(backbone: Any, items: Any) -> Tensor:
    """Features ``(n, *feature)`` of items, prepared as the backbone expects them.

    Raises:
        ShapeError: If the backbone gives no tensor, or no row of features an item.
        EpisodeError: If items are on another device than the backbone's parameters.
    """
    found = backbone(prepare(backbone, items))
    name = getattr(backbone, "name", type(backbone).__name__)
    if not isinstance(found, Tensor):
        raise ShapeError(
            f"the backbone '{name}' must give one tensor of features, got a {type(found).__name__}; wrap it in a function "
            "that picks the tensor"
        )
    if found.ndim < 2 or len(found) != len(items):
        raise ShapeError(
            f"the backbone '{name}' must give a row of features an item, got shape {tuple(found.shape)} for {len(items)} "
            "items; keep their axis, and let features have one"
        )
    return found


def taken(learner: Any, items: Any, like: Any = None) -> Any:
    """Items as a learner takes them: as they are where it prepares them itself, else floats of one type.

    Whoever hands items of a collection to a learner sends them through here, and nothing else decides. uint8 pixels
    are divided by 255; half precision becomes float32, and whole numbers the type that holds them exactly.

    Args:
        learner: Any.
        items: Of a support, a pool, or queries.
        like: The support's items, whose type queries get where there is one; None for those of the support.
    """
    if not isinstance(items, Tensor) or claims_of(learner).prepares:
        return items
    return as_features(items, like)


def as_features(items: Tensor, like: Any = None) -> Tensor:
    """Floats of one type; see `taken`, which leaves the items of some learners as they are."""
    items = items.float() / 255 if items.dtype == torch.uint8 else floats(items)
    if not isinstance(like, Tensor) or not like.numel():  # a support without examples has no type of its own
        return items
    return items.to(like.dtype) if like.is_floating_point() and items.is_floating_point() else items


def on_features(adapt: Callable[[Any, SupportSet], Classifier]) -> Callable[..., Classifier]:
    """Decorate an ``adapt`` that computes with features: it gets floats, and its classifier queries of the same type."""

    @wraps(adapt)
    def on_floats(self: Any, support: SupportSet) -> Classifier:
        if support.x.dtype not in FLOATS or (support.unlabelled is not None and support.unlabelled.dtype not in FLOATS):
            support = support.map(as_features)
        if isinstance(self, nn.Module):
            for name, parameter in self.named_parameters():
                require_numbers(f"'{name}'", parameter, error=EpisodeError)
        require_range(support.x, "support")
        require_told_apart(support.x, support.y.ndim)
        classify, like = adapt(self, support), support.x
        known = getattr(classify, "known", None)

        def after(f: Any) -> Classifier:
            def asked(query: Tensor) -> Tensor:
                require_numbers("queries", query, error=EpisodeError)
                query = as_features(query, like)
                require_range(query, "queries")
                return cast(Tensor, f(query))

            return asked

        return with_known(after(classify), None if known is None else after(known))

    return on_floats


def floats(items: Tensor) -> Tensor:
    """Numbers as learners on features compute with them: float32 or float64, whatever else they were stored in."""
    if items.dtype in FLOATS or items.is_complex():
        return items
    return items.to(torch.float64 if items.dtype in WIDE else torch.float32)


def backbone_of(learner: Any) -> Any:
    """The backbone inside a learner: its own, or that of its network."""
    return learner.backbone if hasattr(learner, "backbone") else learner.network.backbone


def prepared(adapt: Callable[[Any, SupportSet[Any]], Classifier[Any]]) -> Callable[..., Classifier[Any]]:
    """Decorate an ``adapt`` for one episode whose network takes prepared items: each is prepared once, on its way in."""

    @wraps(adapt)
    def on_items(self: Any, support: SupportSet[Any]) -> Classifier[Any]:
        backbone = backbone_of(self)
        classify = adapt(self, support.map(lambda items: prepare(backbone, items)))
        return lambda query: classify(prepare(backbone, query))

    return on_items


def require_one_device(what: str, *tensors: Tensor) -> None:
    """Let tensors pass only if they are on one device.

    Args:
        what: They are, for the message.
        tensors: Any number.

    Raises:
        EpisodeError: If they are on several.
    """
    devices = [str(tensor.device) for tensor in tensors]
    if len(set(devices)) > 1:
        raise EpisodeError(f"{what} must be on one device, got {' and '.join(devices)}; move one with .to(device)")


def per_episode(adapt_one: Callable[[Any, SupportSet[Any]], Classifier[Any]]) -> Callable[..., Classifier[Any]]:
    """Decorate an ``adapt`` that is written for one episode without ``e``; get the batch."""

    @wraps(adapt_one)
    def adapt(self: Any, support: SupportSet[Any]) -> Classifier[Any]:
        if support.y.ndim == 1:
            return adapt_one(self, support)
        classifiers = [adapt_one(self, support[k]) for k in range(len(support))]
        known = [getattr(classifier, "known", None) for classifier in classifiers]
        return with_known(_each(classifiers), None if None in known else _each(known))

    return adapt


def _each(functions: list[Any]) -> Callable[[Any], Tensor]:
    return lambda query: torch.stack([f(q) for f, q in zip(functions, query, strict=True)])


def with_known(classify: Classifier[Any], known: Callable[[Any], Tensor] | None) -> Classifier[Any]:
    """A classifier that says itself how known a query is, where its largest score does not.

    Args:
        classify: Gives scores; a function, which gets ``known`` as an attribute.
        known: Queries ``(e, q, *item)`` to numbers ``(e, q)``, higher is more known; nothing is added for None.
    """
    if known is not None:
        classify.known = known  # type: ignore[attr-defined]
    return classify


def episode_loss(
    learner: Learner, support: SupportSet[Any], query: Items, labels: Integer[Tensor, "e q"]
) -> Float[Tensor, ""]:
    """The learner's own ``loss``, else the mean negative log-likelihood of the query labels; lower is better."""
    own = getattr(learner, "loss", None)
    if own is not None:
        return cast(Tensor, own(support, query, labels))
    return cross_entropy(learner.adapt(support)(query).flatten(0, 1), labels.flatten())
