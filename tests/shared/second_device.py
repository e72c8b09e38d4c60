"""A second device on any machine: it computes on the CPU, and refuses every tensor that is not on it.

Inside ``second_device()``, tensors on ``DEVICE`` can be made, moved and computed with. As on a card, an operation with a
CPU tensor of one axis or more is an error, and so is ``numpy()``. Indices may be on the CPU, as on a card.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("vulkan:0")  # a name that torch knows on every machine
META = torch.device("meta")  # where autograd takes a `There` to be
aten = torch.ops.aten
BETWEEN = {aten._to_copy.default, aten.copy_.default, aten._local_scalar_dense.default}
INDEXED = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}


class There(Tensor):
    """A tensor on the second device; its numbers lie in ``inner``."""

    @staticmethod
    def __new__(cls, inner: Tensor) -> "There":
        made = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device="meta", requires_grad=False,
        )  # fmt: skip
        made.inner = inner
        return made

    @property
    def device(self) -> torch.device:
        return DEVICE

    @property
    def is_meta(self) -> bool:
        return False

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("a tensor on the second device must be moved with .cpu() before NumPy reads it")

    def new_tensor(self, data: Any, *, dtype: torch.dtype | None = None) -> Tensor:
        return torch.tensor(data, dtype=dtype or self.dtype, device=DEVICE)

    def tolist(self) -> Any:
        return self.inner.tolist()

    def __repr__(self) -> str:
        return f"There({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


@contextmanager
def second_device() -> Iterator[torch.device]:
    """While it lasts, there is a second device."""
    was = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # or torch.tensor(device=...) would pass the mode by
    try:
        with _Mode():
            yield DEVICE
    finally:
        torch._C._set_only_lift_cpu_tensors(was)


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = any(isinstance(tensor, There) for tensor in given)
    asked = kwargs.get("device")
    if asked is None and not there:
        return func(*args, **kwargs)
    if there and func not in BETWEEN:
        _require_one_device(func, args, given)
    on = torch.device(asked) in (DEVICE, META) if asked is not None else there
    plain_args, plain = tree_map_only(There, lambda t: t.inner, (args, kwargs))
    plain |= {} if asked is None else {"device": torch.device("cpu") if on else asked}
    found = func(*plain_args, **plain)
    if func is aten.copy_.default or (func._schema.name.endswith("_") and isinstance(args[0], Tensor)):
        return args[0]
    return tree_map_only(Tensor, There, found) if on else found


def _require_one_device(func: Any, args: Any, given: list[Tensor]) -> None:
    if func in INDEXED and isinstance(args[0], There):
        given = [args[0], *args[2:3]] if len(args) > 2 else [args[0]]
    wrong = [t for t in given if isinstance(t, Tensor) and not isinstance(t, There) and t.ndim]
    if wrong:
        raise RuntimeError(f"{func} got a tensor {tuple(wrong[0].shape)} on the CPU beside one on the second device")
