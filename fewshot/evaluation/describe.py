"""What a record says of learner, backbone, data, episodes and software."""

import platform
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

from fewshot.contract import Embedded
from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSampler, FixedEpisodes
from fewshot.evaluation.exposure import exposure
from fewshot.files import PACKAGE, digest
from fewshot.results.balance import ASSUMES_BALANCE
from fewshot.results.record import BackboneInfo, DataInfo, EpisodesInfo, LearnerInfo


def describe(
    learner: Any, collection: Collection, sampler: EpisodeSampler | FixedEpisodes, count: int, seed: int
) -> dict[str, Any]:
    """The fields of a record that are known before any answer."""
    spec = sampler.spec if isinstance(sampler, EpisodeSampler) else None
    first = sampler[0]
    way = len(first.classes)
    episodes = EpisodesInfo(
        way=way if spec is None else _plain(spec.way),
        shot=len(first.support) // max(way, 1) if spec is None else _plain(spec.shot),
        query=len(first.query) // max(way, 1) if spec is None else _plain(spec.query),
        query_distribution="as given" if spec is None else spec.query_distribution(),
        count=count,
        seed=seed,
        manifest=sampler.manifest(0, count, collection.item_names or ()),
        spec={} if spec is None else spec.as_dict(),
        rejected_draws=sampler.rejected(0, count) if isinstance(sampler, EpisodeSampler) else 0,
    )
    name, _, split = collection.name.partition("/")
    data = DataInfo(
        name=name, hash=collection.hash, split=split or None, classes=len(collection.class_names), items=len(collection)
    )
    backbone = learner.backbone if isinstance(learner, Embedded) else None
    return {
        "learner": describe_learner(learner), "backbone": None if backbone is None else describe_backbone(backbone),
        "exposure": exposure(backbone, collection), "data": data, "episodes": episodes,
        "versions": versions(), "code": code_hash(), "device": device_of(learner),
    }  # fmt: skip


def describe_learner(learner: Any) -> LearnerInfo:
    """Name and options of the learner, or of the head of an embedded one, and what it claims of itself."""
    head = learner.head if isinstance(learner, Embedded) else learner
    return LearnerInfo(
        name=type(head).__name__,
        options=_options(head),
        transductive=bool(getattr(learner, "transductive", False)),
        batch_norm=str(getattr(learner, "batch_norm", "running")),
    )


def assumptions(learner: Any) -> list[str]:
    """What a reader of the learner's answers must know of it, by its own claims."""
    return [ASSUMES_BALANCE] if getattr(learner, "assumes_balanced_queries", False) else []


def describe_backbone(backbone: Any) -> BackboneInfo:
    """Its name, its fingerprint, and what its weights were trained on, as far as it says so."""
    fingerprint = getattr(backbone, "fingerprint", None)
    return BackboneInfo(
        name=str(getattr(backbone, "name", type(backbone).__name__)),
        fingerprint=None if fingerprint is None else str(fingerprint()),
        pretraining=getattr(backbone, "pretraining", None),
    )


def _options(learner: Any) -> dict[str, Any]:
    """Fields of a learner that is a dataclass, as JSON can hold them."""
    if not is_dataclass(learner):
        return {}
    return {f.name: _json(getattr(learner, f.name)) for f in fields(learner)}


def _json(value: Any) -> Any:
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [_json(v) for v in value]
    if isinstance(value, Tensor):
        return f"tensor{tuple(value.shape)} {digest([value.detach().cpu().contiguous().numpy().tobytes()])[:16]}"
    return getattr(value, "__name__", type(value).__name__) if callable(value) else str(value)


def _plain(count: Any) -> Any:
    return list(count) if isinstance(count, tuple) else count


def device_of(learner: Any) -> str:
    """Where the learner's parameters are; the CPU where it has none."""
    parameter = next(learner.parameters(), None) if isinstance(learner, nn.Module) else None
    return "cpu" if parameter is None else str(parameter.device)


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
