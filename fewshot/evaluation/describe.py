"""What a record says of learner, backbone, data, episodes and software."""

import platform
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

from fewshot.backbones.texts import cut_line
from fewshot.claims import claims_of
from fewshot.contract import Embedded
from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSampler, FixedEpisodes
from fewshot.evaluation.audit.exposure import exposure
from fewshot.evaluation.target import manifest_of
from fewshot.plumbing.files import PACKAGE, digest
from fewshot.plumbing.number_checks import plain
from fewshot.records.record import (
    DATA,
    NEWEST,
    QUERIES,
    SUPPORT,
    BackboneInfo,
    DataInfo,
    EpisodesInfo,
    LearnerInfo,
    SourceInfo,
)
from fewshot.tables.balance import ASSUMES_BALANCE


def describe(
    learner: Any,
    collection: Collection,
    sampler: EpisodeSampler | FixedEpisodes,
    count: int,
    seed: int,
    queries: Collection | None = None,
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
        manifest=manifest_of(sampler, count, collection, queries),
        spec={} if spec is None else spec.as_dict(),
        rejected_draws=sampler.rejected(0, count) if isinstance(sampler, EpisodeSampler) else 0,
    )
    backbone = learner.backbone if isinstance(learner, Embedded) else None
    return {
        "learner": describe_learner(learner), "backbone": None if backbone is None else describe_backbone(backbone),
        "exposure": (queries and exposure(backbone, queries)) or exposure(backbone, collection),
        "data": DataInfo(**_data(collection)), "episodes": episodes,
        "versions": versions(), "code": code_hash(), "device": device_of(learner),
    } | _sources(collection, queries)  # fmt: skip


def _data(collection: Collection) -> dict[str, Any]:
    name, _, split = collection.name.partition("/")
    sizes = {"classes": len(collection.class_names), "items": len(collection)}
    return {"name": name, "hash": collection.hash, "split": split or None, **sizes}


def _sources(collection: Collection, queries: Collection | None) -> dict[str, Any]:
    """What a record of several collections says of each, joined ones too; of one collection, nothing more."""
    both = {DATA: collection} if queries is None else {SUPPORT: collection, QUERIES: queries}
    parts = {} if queries is None else dict(both)
    parts |= {f"{role}/{part}": one for role, whole in both.items() for part, one in whole.sources.items()}
    sources = [SourceInfo(part=part, origin=one.origin or one.name, **_data(one)) for part, one in parts.items()]
    return {"sources": sources, "schema_": NEWEST} if sources else {}


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
