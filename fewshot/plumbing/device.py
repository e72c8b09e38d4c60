"""Devices: which are there, where a learner computes, and the same learner on another one."""

import copy
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from fewshot.claims import tensors_of
from fewshot.errors import EpisodeError, FewShotError

Device = str | torch.device
CPU = torch.device("cpu")
SHARE = 0.5  # of the free memory of a card that features may take
FUSED = ("cpu", "cuda", "mps", "xpu")  # where torch takes a step of Adam at once
ROOM = 2**30  # bytes that features may take on a device that does not say how much is free


def device_named(device: Device) -> torch.device:
    """A device that is there, with its number where it has one.

    Args:
        device: ``"auto"`` for a card where there is one, else the CPU; or what `torch.device` takes.

    Raises:
        FewShotError: If there is no device of that name, or it is not on this machine.
    """
    if device == "auto":
        return _card()
    try:
        known = torch.device(device)
    except (RuntimeError, TypeError):
        raise FewShotError(
            f"device must be 'auto' or a name that torch.device takes, got {device!r}; write 'cpu', 'cuda' or 'cuda:1'"
        ) from None
    return CPU if known.type == "cpu" else _tried(known)


def _card() -> torch.device:
    for kind, backend in (("cuda", torch.cuda), ("xpu", torch.xpu), ("mps", torch.backends.mps)):
        if backend.is_available():
            return _tried(torch.device(kind))
    return CPU


def _tried(device: torch.device) -> torch.device:
    """The device with its number, by a tensor that is made and read there."""
    try:
        if device.type == "xla" and find_spec("torch_xla"):
            import_module("torch_xla")  # which makes the device known to torch
        made = torch.zeros(1, device=device)
        made.tolist()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FewShotError(f"device must be on this machine, got '{device}': {reason}; take 'auto' or 'cpu'") from None
    return made.device


def device_of(*learners: Any) -> torch.device:
    """Where the parameters, buffers and other tensors of learners or backbones are; the CPU where they have none.

    Raises:
        EpisodeError: If they are on several devices.
    """
    devices = sorted({str(tensor.device) for learner in learners for tensor in tensors_of(learner)})
    if len(devices) > 1:
        raise EpisodeError(
            f"a learner must be on one device, got {' and '.join(devices)}; evaluate(device=...) moves it"
        )
    return torch.device(devices[0]) if devices else CPU


def on_device(learner: Any, device: torch.device) -> Any:
    """The learner on a device: as it is where it is there, else a copy, so that the one that was given stays.

    Tensors that are there already are shared with the copy.
    """
    elsewhere = [tensor for tensor in tensors_of(learner) if tensor.device != device]
    if not elsewhere:
        return learner
    memo = {id(tensor): moved(tensor, device) for tensor in tensors_of(learner)}
    return copy.deepcopy(learner, memo)


def placed(learner: Any, device: Device | None) -> tuple[Any, torch.device]:
    """The learner on the device that is named, or where it is, and that device.

    Raises:
        FewShotError: If the device is not there, or none is named and the learner is on several.
    """
    where = device_of(learner) if device is None else device_named(device)
    return on_device(learner, where), where


def moved(items: Any, device: torch.device | None) -> Any:
    """Tensors on a device, parameters as parameters; arrays of strings, and all without a device, as they are."""
    if device is None or not isinstance(items, Tensor) or items.device == device:
        return items
    there = items.detach().to(device)
    return nn.Parameter(there, items.requires_grad) if isinstance(items, nn.Parameter) else there


def held(features: Any, device: torch.device | None) -> Any:
    """Features on a device if it has room for them, else where they are; those of several sources stay in their sources."""
    fits = device is not None and isinstance(features, Tensor) and features.nbytes <= _room(device)
    return moved(features, device) if fits else features


def _room(device: torch.device) -> int:
    """Bytes that features may take on a device."""
    return int(SHARE * torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else ROOM


def settle(device: torch.device) -> None:
    """Let a lazy device compute all that it was given so far; others have done so."""
    if device.type == "xla":
        import_module("torch_xla").sync()


def has_fused_steps(parameter: Tensor) -> bool:
    """Whether torch takes all of a step of Adam in one kernel where a parameter is."""
    return parameter.device.type in FUSED
