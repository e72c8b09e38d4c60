"""Features of a whole collection: embedded once, kept on disk."""

from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from fewshot.contract import prepare
from fewshot.files import cache_folder, digest, write_bytes


def embed_rows(items: Any, data_hash: str, backbone: Any, batch: int, cache: bool) -> Tensor:
    """Features ``(n, dim)`` of all items, from the cache where it has them.

    A module is put into eval mode for the pass and then as it was. The cache key
    holds the data's hash and the backbone's ``fingerprint()``; without one, nothing is cached.
    """
    fingerprint = getattr(backbone, "fingerprint", None)
    if fingerprint is None or not cache:
        return _embed(items, backbone, batch)
    path = cache_folder() / "features" / f"{digest([data_hash.encode(), str(fingerprint()).encode()])[:32]}.safetensors"
    if path.exists():
        try:
            return load_file(path)["features"]
        except Exception:  # a torn cache is rebuilt, whatever tore it
            path.unlink(missing_ok=True)
    features = _embed(items, backbone, batch)
    write_bytes(path, save({"features": features.contiguous()}))
    return features


def _embed(items: Any, backbone: Any, batch: int) -> Tensor:
    training = isinstance(backbone, nn.Module) and backbone.training
    if training:
        backbone.eval()
    try:
        with torch.no_grad():
            parts = [_one(items[i : i + batch], backbone) for i in range(0, len(items), batch)]
    finally:
        if training:
            backbone.train()
    return torch.cat(parts)


def _one(items: Any, backbone: Any) -> Tensor:
    if not isinstance(items, Tensor) and items.dtype.kind not in "TU":
        items = torch.from_numpy(np.array(items))
    if isinstance(items, Tensor) and isinstance(backbone, nn.Module):
        parameter = next(backbone.parameters(), None)
        items = items if parameter is None else items.to(parameter.device)
    features: Tensor = backbone(prepare(backbone, items))
    return features.cpu()
