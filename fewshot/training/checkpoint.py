"""Checkpoints: one safetensors file with weights, optimiser and progress; no pickle.

Tensors are named ``weights.*`` (the learner now), ``best.*`` (the learner at its
best validation) and ``optimizer.*``; the rest is JSON in the file's metadata.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fewshot.errors import CheckpointError
from fewshot.sealed import Damaged, read_tensors, write_tensors


def save_checkpoint(path: Path, tensors: dict[str, Tensor], progress: dict[str, Any]) -> None:
    """Write tensors and progress in one step; the previous checkpoint stays until the new one is whole.

    Args:
        path: The file to replace.
        tensors: By name; any memory format.
        progress: What JSON can hold.
    """
    write_tensors(path, tensors, {"fewshot": json.dumps(progress, ensure_ascii=False)})


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and progress of a checkpoint.

    Raises:
        CheckpointError: If the file is not a whole checkpoint of this package.
    """
    try:
        tensors, metadata = read_tensors(path)
        progress = json.loads(metadata["fewshot"])
    except (Damaged, KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(f"'{path}' must be a whole checkpoint, got {error}; delete it to start anew") from None
    return tensors, progress


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below a prefix, without it."""
    return {name[len(prefix) + 1 :]: value for name, value in tensors.items() if name.startswith(f"{prefix}.")}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of the optimiser as ``optimizer.<parameter number>.<name>``."""
    state = optimizer.state_dict()["state"]
    return {f"optimizer.{i}.{name}": torch.as_tensor(value) for i, row in state.items() for name, value in row.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put saved state back, in the memory format of each parameter, so that the next step is bit for bit the same."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, value in part(tensors, "optimizer").items():
        number, name = key.split(".", 1)
        parameter = parameters[int(number)]
        like = torch.empty_like(parameter) if value.shape == parameter.shape and value.ndim else torch.empty_like(value)
        optimizer.state[parameter][name] = like.copy_(value)


def memory_format(module: nn.Module) -> str:
    """``"channels_last"`` where the convolution weights lie so, else ``"contiguous"``."""
    weights = [p for p in module.parameters() if p.ndim == 4 and p.shape[1] > 1]
    last = all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
    return "channels_last" if weights and last else "contiguous"
