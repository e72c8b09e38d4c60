"""What users say of their classes: names, descriptions, or vectors; embedded where items are."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.backbones.prompts import Prompts
from fewshot.datasets.formats.containers import shown
from fewshot.datasets.labels import read_labels
from fewshot.errors import DataError
from fewshot.estimator.items import TEXTS, texts


class Described(NamedTuple):
    """Classes that are described.

    Attributes:
        labels: The user's label of each, each once.
        vectors: Their descriptors, in the space of the items.
        said: The user's text of each, None for a label that describes itself; nothing where vectors were given.
    """

    labels: np.ndarray
    vectors: Float[Tensor, "n dim"]
    said: tuple[str | None, ...] | None = None

    def of(self, classes: np.ndarray) -> Float[Tensor, "n_way dim"]:
        """The descriptors of classes.

        Raises:
            DataError: If one is not described.
        """
        place = {label: k for k, label in enumerate(self.labels.tolist())}
        absent = [label for label in classes.tolist() if label not in place]
        if absent:
            raise DataError(f"every class needs a description where one has it, got none for {absent[0]!r}; add it")
        return self.vectors[torch.tensor([place[label] for label in classes.tolist()], dtype=torch.long)]

    def as_given(self) -> dict[Any, Any]:
        """What `describe` makes this from."""
        return dict(zip(self.labels.tolist(), self.said or self.vectors.numpy(), strict=True))


def describe(descriptions: Any, kind: str, backbone: Any, prompts: Any) -> Described | None:
    """Descriptions of classes as vectors.

    Args:
        descriptions: A description or a vector of each label; or labels alone, which describe themselves; or nothing.
        kind: Of the items.
        backbone: Embeds texts, or has a side ``text`` that does; without one descriptions must be vectors.
        prompts: Templates for texts; as they are when left out.

    Raises:
        DataError: If there is none, a text is empty, a vector is not finite, a label comes twice, or the backbone of images
            has no side for texts.
    """
    if descriptions is None:
        return None
    pairs, count = _pairs(descriptions)
    said = [str(label) if text is None else text for label, text in pairs.items()]
    if not said or len(pairs) < count:
        raise DataError(f"descriptions must name each class once, got {count} of {len(pairs)} classes")
    labels = read_labels(list(pairs))
    if backbone is None:
        return Described(labels, _vectors(said))
    if kind != TEXTS and not hasattr(backbone, "text"):
        name = getattr(backbone, "name", type(backbone).__name__)
        raise DataError(
            f"descriptions of {kind} need a backbone with a side for texts, got '{name}'; take open-clip:MODEL/TAG"
        )
    with torch.no_grad():
        vectors = Prompts(getattr(backbone, "text", backbone), prompts or ("{}",))(texts(said)).cpu()
    return Described(labels, vectors, tuple(pairs.values()))


def _pairs(descriptions: Any) -> tuple[Mapping[Any, Any], int]:
    """A description by label, nothing where the label describes itself; and how many were given.

    Raises:
        DataError: If they are one text, or neither a mapping nor labels.
    """
    if isinstance(descriptions, Mapping):
        return descriptions, len(descriptions)
    index = getattr(descriptions, "index", None)  # of a series of pandas; lists have a method of that name
    if index is not None and not callable(index):
        if type(index).__name__ == "RangeIndex" or getattr(descriptions, "ndim", 1) != 1:
            got = f"a {type(descriptions).__name__} without labels in its index"
            raise DataError(f"descriptions must have labels, got {got}; give .to_dict(), or .tolist() for labels alone")
        return dict(zip(list(index), list(descriptions), strict=True)), len(descriptions)
    if isinstance(descriptions, (str, bytes)) or not isinstance(descriptions, Iterable):
        raise DataError(
            f"descriptions must be a dictionary or a list of labels, got the {type(descriptions).__name__} {descriptions!r}; "
            f"give [{descriptions!r}]"
        )
    labels = list(descriptions)
    try:
        return dict.fromkeys(labels), len(labels)
    except TypeError:
        raise DataError(
            f"descriptions that are no dictionary must be labels, got such as {shown(labels[0])}; give a dictionary"
        ) from None


def _vectors(said: list[Any]) -> Tensor:
    wrong = [one for one in said if isinstance(one, str)]
    if wrong:
        raise DataError(f"without a backbone classes are described by vectors, got {wrong[0]!r}; name a text backbone")
    sizes = sorted({len(one) for one in said})
    if len(sizes) > 1:
        raise DataError(f"descriptions must have one length, got vectors of {sizes[0]} and {sizes[-1]} numbers")
    vectors = torch.tensor(np.array([np.asarray(one) for one in said], np.float32))
    if not bool(vectors.isfinite().all()):
        raise DataError("descriptions must be finite, got nan or infinity; replace or leave out those numbers")
    return vectors
