"""What a record says of learner, backbone and software."""

import platform
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from fewshot.backbones.texts import cut_line
from fewshot.claims import claims_of
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.plumbing.files import PACKAGE, digest
from fewshot.plumbing.number_checks import plain
from fewshot.records.record import BackboneInfo, LearnerInfo
from fewshot.tables.balance import ASSUMES_BALANCE


def made_with(device: torch.device) -> dict[str, Any]:
    """Software and device, field by field of a record."""
    return {"versions": versions(), "code": code_hash(), "device": str(device)}


def describe_learner(learner: Any) -> LearnerInfo:
    """Name and options of the learner, or of the head of an embedded one, and what it claims of itself."""
    head, claims = learner.head if isinstance(learner, Embedded) else learner, claims_of(learner)
    return LearnerInfo(
        name=type(head).__name__,
        options=_options(head),
        transductive=claims.transductive,
        batch_norm=claims.batch_norm,
    )


def assumptions(learner: Any) -> list[str]:
    """What a reader of the learner's answers must know of it, by its own claims."""
    return [ASSUMES_BALANCE] if claims_of(learner).assumes_balanced_queries else []


def describe_backbone(backbone: Any) -> BackboneInfo:
    """Its name, its fingerprint, and what its weights were trained on, as far as it says so."""
    fingerprint = getattr(backbone, "fingerprint", None)
    return BackboneInfo(
        name=str(getattr(backbone, "name", type(backbone).__name__)),
        fingerprint=None if fingerprint is None else str(fingerprint()),
        pretraining=getattr(backbone, "pretraining", None),
    )


def cut_texts(learner: Any, *collections: Collection | None) -> list[str]:
    """A line for each collection with texts of which the learner's backbone reads only the beginning."""
    lines = [cut_line(getattr(learner, "backbone", None), data.items) for data in collections if data is not None]
    return [line for line in dict.fromkeys(lines) if line]


def _options(learner: Any) -> dict[str, Any]:
    """Fields of a learner that is a dataclass, as JSON can hold them."""
    if not is_dataclass(learner):
        return {}
    return {f.name: _json(getattr(learner, f.name)) for f in fields(learner)}


def _json(value: Any) -> Any:
    value = plain(value)
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [_json(v) for v in value]
    if isinstance(value, Tensor):
        return f"tensor{tuple(value.shape)} {digest([value.detach().cpu().contiguous().numpy().tobytes()])[:16]}"
    return getattr(value, "__name__", type(value).__name__) if callable(value) else str(value)


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers, and the number of threads."""
    packages = {name: version(name) for name in ("fewshot", "torch", "numpy", "scipy", "scikit-learn")}
    return {"python": platform.python_version(), **packages, "threads": str(torch.get_num_threads())}


@cache
def code_hash() -> str:
    """Hash of this package's source, so that a record names the very code that made it."""
    files = sorted(f for f in PACKAGE.rglob("*.py") if "_data" not in f.parts)
    return digest(f.relative_to(PACKAGE).as_posix().encode() + f.read_bytes() for f in files)[:16]
