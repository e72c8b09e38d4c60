"""Exposure: which of the queried classes are in the data that the weights of a backbone were trained on.

A file ``data/exposure/WEIGHTS-DATA.yaml`` names, for the classes of a collection, those of the other data
that show the same kind of thing (``same``), or one that looks much alike (``akin``).
"""

import re
from typing import Any

import yaml

from fewshot.datasets.collection import Collection
from fewshot.plumbing.files import packaged
from fewshot.records.record import Exposure


def exposure(backbone: Any, collection: Collection) -> Exposure | None:
    """How many classes of the collection the weights have seen, by the list that comes with the package.

    Args:
        backbone: ``pretraining`` names the data of its weights, several with commas between.
        collection: Its ``origin`` names the data, its class names are looked up.

    Returns:
        Nothing where there is no list for these data: that is not known, not unseen.
    """
    origin = _slug(collection.origin or collection.name)
    for data in str(getattr(backbone, "pretraining", None) or "").split(", "):
        path = packaged("data", "exposure", f"{_slug(data)}-{origin}.yaml")
        if data and path.is_file():
            listed = yaml.safe_load(path.read_text(encoding="utf-8"))
            same, akin = (len({*collection.class_names} & {*listed[level]}) for level in ("same", "akin"))
            return Exposure(data=data, same=same, akin=akin)
    return None


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
