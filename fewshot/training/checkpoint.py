"""Checkpoints: one safetensors file with weights, optimiser and progress; no pickle.

Tensors are named ``weights.*`` (the learner now), ``best.*`` (the learner at its
best validation) and ``optimizer.*``; the rest is JSON in the file's metadata.
"""

import inspect
import json
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, ConfigDict, Field, NonNegativeInt
from torch import Tensor, nn
from typing_extensions import TypedDict

from fewshot.errors import CheckpointError
from fewshot.plumbing.reading import in_one_sentence, of_form
from fewshot.plumbing.sealed import read_tensors, write_tensors

Finite = Annotated[float, Field(allow_inf_nan=False)]


def _at_a_step(validation: list[float]) -> list[float]:
    if not validation[0].is_integer():  # the accuracy may be NaN: a network that diverged has none
        raise ValueError(f"a validation is a step and its accuracy, got the step {validation[0]}")
    return validation


Validation = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_at_a_step)]


class SavedProgress(TypedDict):
    """What the JSON of a checkpoint must say; names and settings of the run are compared with those of the run."""

    __pydantic_config__ = ConfigDict(extra="allow", strict=True)  # type: ignore[misc]  # pydantic's way
    step: NonNegativeInt
    threads: Annotated[int, Field(ge=1, le=4096)]
    losses: list[Finite]
    rates: list[Finite]
    validations: list[Validation]
    seconds: Annotated[Finite, Field(ge=0)]


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
    needed, remedy = f"'{path}' must be a whole checkpoint", "delete it to start anew"
    with in_one_sentence(needed, remedy, CheckpointError):
        tensors, metadata = read_tensors(path)
        progress = json.loads(metadata["fewshot"])
    of_form(SavedProgress, progress, needed, remedy, CheckpointError)
    return tensors, progress


def check_tensors(path: Path, tensors: dict[str, Tensor], learner: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Let a checkpoint pass only if all its tensors fit, so that nothing is restored of one that does not.

    Raises:
        CheckpointError: If a weight of the learner is absent or of another shape or type, or a state belongs to no parameter.
    """
    wanted = learner.state_dict()
    for prefix in ("weights", "best", "average"):
        found = part(tensors, prefix)
        wrong = [name for name in {**wanted, **found} if not _fits(found.get(name), wanted.get(name))]
        if wrong and (found or prefix == "weights"):
            raise _misfit(path, f"{prefix}.{sorted(wrong)[0]}")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, value in part(tensors, "optimizer").items():
        number, _, name = key.partition(".")
        known = number.isdecimal() and int(number) < len(parameters)
        if not known or not name or (value.ndim and value.shape != parameters[int(number)].shape):
            raise _misfit(path, f"optimizer.{key}")
    _check_states(path, optimizer, tensors)


def _check_states(path: Path, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Let states pass that have all numbers which the optimiser keeps of a parameter, and no others."""
    states: dict[str, set[str]] = {}
    for key in part(tensors, "optimizer"):
        number, _, name = key.partition(".")
        states.setdefault(number, set()).add(name)
    wanted = _names_of_state(optimizer)
    for number, names in states.items():
        if names != wanted:
            raise _misfit(path, f"optimizer.{number}.{sorted(names ^ wanted)[0]}")


def _names_of_state(optimizer: torch.optim.Optimizer) -> set[str]:
    """What an optimiser of this kind keeps of a parameter, by a step of another one."""
    tried = nn.Parameter(torch.zeros(1))
    tried.grad = torch.zeros(1)
    taken = inspect.signature(type(optimizer)).parameters
    like = type(optimizer)([tried], **{name: value for name, value in optimizer.defaults.items() if name in taken})
    like.step()
    return set(like.state_dict()["state"].get(0, {}))  # SGD without momentum keeps nothing


def _fits(found: Tensor | None, wanted: Tensor | None) -> bool:
    return found is not None and wanted is not None and (found.shape, found.dtype) == (wanted.shape, wanted.dtype)


def _misfit(path: Path, name: str) -> CheckpointError:
    return CheckpointError(f"'{path}' must be a whole checkpoint, got another or no '{name}'; delete it to start anew")


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
