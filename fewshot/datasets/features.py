"""Features of a whole collection: embedded once, kept on disk."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fewshot.contract import features_of
from fewshot.datasets.conversion import require_finite
from fewshot.plumbing.device import device_of, moved
from fewshot.plumbing.files import cache_folder, digest
from fewshot.plumbing.sealed import Damaged, read_tensors, write_tensors


def embed_rows(items: Any, data_hash: str, backbone: Any, batch: int, cache: bool) -> Tensor:
    """Features ``(n, dim)`` of all items, on the CPU, from the cache where it has them.

    A module is put into eval mode for the pass and then as it was. The cache key
    holds the data's hash and the backbone's ``fingerprint()``; without one, nothing is cached.

    Args:
        items: Items ``(n, *item)``.
        data_hash: Names the items.
        backbone: Turns items into features.
        batch: Items embedded at once.
        cache: Whether to look in, and write to, the cache folder.

    Raises:
        DataError: If a feature is not finite, or the cache cannot be written.
        ShapeError: If the backbone gives no row of features an item.
    """
    features = cached_features(data_hash, backbone, len(items)) if cache else None
    if features is None:
        features = _embed(items, backbone, batch)
        path = _path(data_hash, backbone)
        if cache and path is not None:
            write_tensors(path, {"features": features}, {"fewshot": "features"})
    return features


def _path(data_hash: str, backbone: Any) -> Path | None:
    """The cache file, named by data, weights and preprocessing; none for a backbone without a fingerprint."""
    fingerprint = getattr(backbone, "fingerprint", None)
    if fingerprint is None:
        return None
    return cache_folder() / "features" / f"{digest([data_hash.encode(), str(fingerprint()).encode()])[:32]}.safetensors"


def cached_features(data_hash: str, backbone: Any, count: int) -> Tensor | None:
    """The features in the cache, or nothing where they are absent, damaged, or another's.

    Args:
        data_hash: Names the items.
        backbone: What would turn items into features.
        count: Number of items.
    """
    path = _path(data_hash, backbone)
    if path is None:
        return None
    try:
        features = read_tensors(path)[0]["features"]
    except (Damaged, KeyError):
        return None
    return features if len(features) == count else None


def _embed(items: Any, backbone: Any, batch: int) -> Tensor:
    modules = list(backbone.modules()) if isinstance(backbone, nn.Module) else []
    was = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        with torch.no_grad():
            features = torch.cat([_one(items[i : i + batch], backbone) for i in range(0, len(items), batch)])
    finally:
        for module, training in zip(modules, was, strict=True):
            module.training = training
    require_finite(features)
    return features


def _one(items: Any, backbone: Any) -> Tensor:
    if not isinstance(items, Tensor) and items.dtype.kind not in "TU":
        items = torch.from_numpy(np.array(items))
    return features_of(backbone, moved(items, device_of(backbone))).cpu()
