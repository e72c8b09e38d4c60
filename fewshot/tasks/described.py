"""What a record says of collections."""

from typing import Any

from fewshot.datasets.collection import Collection
from fewshot.records.record import DATA, NEWEST, QUERIES, SUPPORT, DataInfo, SourceInfo


def data_info(collection: Collection) -> DataInfo:
    """Name, split, sizes and hash; ``whole/part`` is the name of a split."""
    return DataInfo(**_known(collection))


def sources_info(collection: Collection, queries: Collection | None) -> dict[str, Any]:
    """What a record of several collections says of each, joined ones too; of one collection, nothing more."""
    both = {DATA: collection} if queries is None else {SUPPORT: collection, QUERIES: queries}
    parts = {} if queries is None else dict(both)
    parts |= {f"{role}/{part}": one for role, whole in both.items() for part, one in whole.sources.items()}
    sources = [SourceInfo(part=part, origin=one.origin or one.name, **_known(one)) for part, one in parts.items()]
    return {"sources": sources, "schema_": NEWEST} if sources else {}


def _known(collection: Collection) -> dict[str, Any]:
    name, _, split = collection.name.partition("/")
    sizes = {"classes": len(collection.class_names), "items": len(collection)}
    return {"name": name, "hash": collection.hash, "split": split or None, **sizes}
