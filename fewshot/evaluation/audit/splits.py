"""The audit: which items of one split have a near-duplicate in another."""

import math
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewshot.contract import prepare
from fewshot.datasets.collection import Collection
from fewshot.errors import DataError, FewShotError
from fewshot.evaluation.answers import eval_mode
from fewshot.evaluation.audit.copies import CALIBRATING, COPIES
from fewshot.evaluation.audit.duplicates import byte_ids, equal_items, matches
from fewshot.evaluation.describe import code_hash, describe_backbone, versions
from fewshot.plumbing.device import device_of, moved
from fewshot.tables.audit import Audit, Between, Pair

SAMPLE, SHARE, BLIND = 128, 0.95, 0.05
ORDER = {"train": 0, "test": 2}  # items of the later split are counted; others stay in between, as they are


def audit(
    collection: Collection, backbone: Any, threshold: float | None = None, *, cache: bool = True, seed: int = 0
) -> Audit:
    """Items of each split with a near-duplicate in another, by the cosine of their features.

    The threshold is chosen so that it finds planted copies: of 128 random images of the collection, 95 % of the
    copies through JPEG, and 95 % of those shifted by a 42nd of the side, have a cosine at or above it. So it fits
    backbone and data, and has a known power. What a hit means depends on how usual such a cosine is between
    two items that are no copies: ``same_class`` says so. It is a screening.

    Args:
        collection: With splits; one without is compared with itself.
        backbone: Makes the features.
        threshold: Least cosine of a near-duplicate; chosen as above when left out.
        cache: Whether features may be read from, and written to, the cache folder.
        seed: Of the random choice of images.

    Raises:
        DataError: If no threshold is given and the items are no uint8 images, or it is no cosine.
        FewShotError: If the backbone finds more than 5 % of all pairs as near as planted copies.

    Example:
        >>> from fewshot import load_backbone
        >>> rows = Collection.from_arrays(np.eye(6, dtype=np.float32)[[0, 1, 2, 3, 4, 0]], [0, 0, 1, 1, 2, 2])
        >>> audit(rows, load_backbone("pixels"), threshold=0.9).line()
        'near-duplicates within the collection: 2 of 6 items (cosine ≥ 0.9, pixels)'
    """
    rule, shares = "given", dict[str, float]()
    if threshold is None:
        threshold, shares = planted_threshold(collection, backbone, seed)
        planted = f"planted copies ({', '.join(CALIBRATING)}) of {min(SAMPLE, len(collection))} images"
        rule = f"the largest that finds {SHARE:.0%} of {planted}"
    if not -1 <= threshold <= 1:
        raise DataError(f"a threshold must be a cosine, between -1 and 1, got {threshold}")
    features, ids = collection.embed(backbone, cache=cache).items.flatten(1), byte_ids(collection.items)
    splits = dict(sorted(collection.splits.items(), key=lambda part: ORDER.get(part[0], 1)))
    splits = splits or {"all": np.arange(len(collection))}
    between = [_between(collection, features, ids, a, b, threshold) for a, b in _two_by_two(splits)]
    if shares:
        _require_sight(between, splits, threshold)
    return Audit(
        data=collection.name,
        hash=collection.hash,
        splits={name: len(rows) for name, rows in splits.items()},
        backbone=describe_backbone(backbone),
        threshold=threshold,
        rule=rule,
        copies_found=shares,
        same_class=_same_class(collection, features, threshold),
        repeated=len(ids) - len(np.unique(ids)),
        between=between,
        versions=versions(),
        code=code_hash(),
    )


def planted_threshold(collection: Collection, backbone: Any, seed: int = 0) -> tuple[float, dict[str, float]]:
    """The largest cosine, to three decimals, at which 95 % of the planted copies of each kind are found.

    Returns:
        The threshold, and the share of each kind that it finds, mirrored copies included.

    Raises:
        DataError: If the items are no uint8 images.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    images = collection.take(np.sort(rng.permutation(len(collection))[:SAMPLE]))
    if (
        not isinstance(images, Tensor)
        or images.dtype != torch.uint8
        or images.ndim != 4
        or images.shape[1] not in (1, 3)
    ):
        raise DataError("copies can be planted for uint8 images only, got other items; give a threshold")
    with torch.no_grad(), eval_mode(backbone):
        own = _features(backbone, images)
        cosines = {k: torch.cosine_similarity(own, _features(backbone, copy(images))) for k, copy in COPIES.items()}
    enough = math.floor((1 - SHARE) * len(images))  # so many copies may be missed
    lowest = min(float(cosines[kind].sort().values[enough]) for kind in CALIBRATING)
    threshold = math.floor(1000 * lowest) / 1000
    return threshold, {kind: float((c >= threshold).double().mean()) for kind, c in cosines.items()}


def _features(backbone: Any, images: Tensor) -> Tensor:
    there = moved(images, device_of(backbone))
    features: Tensor = backbone(prepare(backbone, there)).flatten(1).cpu()
    return features


def _require_sight(between: list[Between], splits: dict[str, np.ndarray], threshold: float) -> None:
    """Refuse a backbone for which any two items are as near as copies."""
    pairs = {(b.split, b.other): len(splits[b.split]) * len(splits[b.other]) for b in between}
    share = max(b.near_pairs / pairs[b.split, b.other] for b in between)
    if share > BLIND:
        raise FewShotError(
            f"a backbone must tell copies from other items, got {share:.0%} of all pairs as near as planted copies "
            f"(cosine ≥ {threshold:.3g}); choose another backbone, or give a threshold"
        )


def _same_class(collection: Collection, features: Tensor, threshold: float) -> float:
    """Share of the items whose nearest item of their own class is at or above the threshold."""
    order = np.argsort(collection.labels, kind="stable")
    classes = np.split(order, np.flatnonzero(np.diff(collection.labels[order])) + 1)
    return sum(int((matches(features[rows], None, threshold).cosine >= threshold).sum()) for rows in classes) / len(
        order
    )


def _two_by_two(splits: Any) -> list[tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]]]:
    """Every two splits, neither of which holds the other; the only split with itself."""
    parts = list(splits.items())
    if len(parts) == 1:
        return [(parts[0], parts[0])]
    nested = [
        a[0] + b[0] for a, b in combinations(parts, 2) if min(len(a[1]), len(b[1])) == len(np.intersect1d(a[1], b[1]))
    ]
    return [(a, b) for a, b in combinations(parts, 2) if a[0] + b[0] not in nested]


def _between(
    collection: Collection,
    features: Tensor,
    ids: np.ndarray,
    first: tuple[str, np.ndarray],
    second: tuple[str, np.ndarray],
    threshold: float,
) -> Between:
    (other, rows1), (split, rows2) = first, second
    alone = split == other
    found = matches(features[rows1], None if alone else features[rows2], threshold)
    equal = equal_items(ids[rows1], None if alone else ids[rows2])
    nearest = np.where(equal >= 0, equal, found.nearest)
    near = np.flatnonzero((found.cosine >= threshold) | (equal >= 0))
    order = near[np.argsort(-found.cosine[near], kind="stable")]
    pairs = [
        _pair(collection, int(rows2[i]), int(rows1[nearest[i]]), float(found.cosine[i]), bool(equal[i] >= 0))
        for i in order.tolist()
    ]
    return Between(
        split=split, other=other, items=len(rows2), found=len(pairs), equal=int((equal >= 0).sum()),
        largest=round(float(found.cosine.max(initial=-1)), 6), near_pairs=found.pairs, pairs=pairs,
    )  # fmt: skip


def _pair(collection: Collection, row: int, other: int, cosine: float, equal: bool) -> Pair:
    names = _name(collection, row), _name(collection, other)
    return Pair(item=names[0], other=names[1], row=row, other_row=other, cosine=round(cosine, 6), equal=equal)


def _name(collection: Collection, row: int) -> str:
    """The item's own name, or its class and row."""
    if collection.item_names is not None:
        return str(collection.item_names[row])
    return f"{collection.class_names[collection.labels[row]]}/{row}"
