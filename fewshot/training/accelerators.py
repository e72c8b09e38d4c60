"""The accelerator of a training run, on the device that is named."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState, PartialState

from fewshot.plumbing.device import Device, device_named
from fewshot.training.settings import TrainingSettings

NAMED = "ACCELERATE_TORCH_DEVICE"  # accelerate reads it where it would else choose


def default_accelerator(settings: TrainingSettings, device: Device | None = None) -> Accelerator:
    """One process on a device; several, as a launcher starts them, on devices of its kind.

    On a CPU that must be said, or several processes would not find each other.

    Args:
        settings: Of the run, which name its precision.
        device: ``"auto"`` for a card where there is one, which also holds when left out; or what `torch.device` takes.

    Raises:
        FewShotError: If the device is not there.
    """
    wanted = device_named("auto" if device is None else device)
    _forget_earlier_run(settings, wanted)
    handlers = [DistributedDataParallelKwargs(broadcast_buffers=False)]
    with _named(wanted):
        return Accelerator(cpu=wanted.type == "cpu", mixed_precision=settings.precision, kwargs_handlers=handlers)


def _forget_earlier_run(settings: TrainingSettings, wanted: torch.device) -> None:
    """Drop the precision and the device of an earlier run where others are wanted: accelerate keeps one of each a process."""
    if AcceleratorState._shared_state.get("_mixed_precision", settings.precision) != settings.precision:
        AcceleratorState._reset_state()
    there = PartialState._shared_state.get("device")
    if not _several() and there not in (None, wanted):
        AcceleratorState._reset_state(reset_partial_state=True)


@contextmanager
def _named(wanted: torch.device) -> Iterator[None]:
    """Name the device to accelerate for a while; where a launcher started several processes, it gives each its own."""
    if _several():
        yield
        return
    was = os.environ.get(NAMED)
    os.environ[NAMED] = str(wanted)
    try:
        yield
    finally:
        os.environ.pop(NAMED)
        if was is not None:
            os.environ[NAMED] = was


def _several() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1
