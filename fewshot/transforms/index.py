"""Transforms by name, as recipes and the command line write them."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from fewshot.errors import FewShotError
from fewshot.plumbing.names import unknown
from fewshot.transforms.fitted import PCA, Centre, Whiten
from fewshot.transforms.plain import QR, Normalise, Power

Transform = Callable[[Tensor], Tensor]
TRANSFORMS: dict[str, Callable[..., Transform]] = {
    "centre": Centre, "normalise": Normalise, "pca": PCA, "power": Power, "qr": QR, "whiten": Whiten,
}  # fmt: skip


def make_transform(what: Any) -> Transform:
    """A transform as it is, by name, or by name with its first option or all of them, as a recipe writes them.

    Raises:
        UnknownNameError: If nobody knows the name.
        FewShotError: If it is none of these.

    Example:
        >>> [make_transform(t) for t in ("normalise", {"power": 0.5}, {"power": {"offset": 1e-6}})]
        [Normalise(), Power(exponent=0.5, offset=0.0), Power(exponent=0.5, offset=1e-06)]
    """
    if callable(what):
        return what  # type: ignore[no-any-return]
    named = {what: {}} if isinstance(what, str) else what
    if not (isinstance(named, dict) and len(named) == 1):
        raise FewShotError(f"a transform must be a function, a name, or a name with its options, got {what!r}")
    ((name, options),) = named.items()
    if name not in TRANSFORMS:
        raise unknown("transform", name, TRANSFORMS)
    try:
        return TRANSFORMS[name](**options) if isinstance(options, dict) else TRANSFORMS[name](options)
    except TypeError as error:
        raise FewShotError(f"transform '{name}' cannot take {options!r}: {error}") from None
