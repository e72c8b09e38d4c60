"""CLINC150: 22,500 requests to an assistant with one of 150 intents in ten domains, and 1,200 that have none of them.

Larson et al., "An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction", EMNLP 2019, CC BY 3.0,
github.com/clinc/oos-eval.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.location import data_root
from fewshot.datasets.published_texts import read_json, rows_of, spoken
from fewshot.errors import DataError

PARTS = {  # of data_full.json, with the published counts
    "train": ("train", 15000),
    "val": ("val", 3000),
    "test": ("test", 4500),
    "train-open": ("oos_train", 100),
    "val-open": ("oos_val", 100),
    "test-open": ("oos_test", 1000),
}
OUT_OF_SCOPE = "oos"


def load_clinc150() -> Collection:
    """Requests as texts; ``train``, ``val`` and ``test`` are the published parts, each of all 150 intents.

    Splits ``train-open``, ``val-open`` and ``test-open`` hold the requests without a known intent, whose class is ``oos``.
    Descriptors are the names of the intents, as words; groups are the domains.

    Raises:
        MissingDataError: If a file is not below ``$FEWSHOT_DATA/clinc150``.
        DataError: If the files are not those that were published.
    """
    folder = data_root("clinc150")
    parts = _parts(folder / "data_full.json")
    texts, labels = zip(*[pair for pairs in parts.values() for pair in pairs], strict=True)
    whole = Collection.from_arrays(list(texts), labels, name="clinc150", splits=rows_of(parts))
    domains = {
        intent: domain
        for domain, of in read_json(folder / "domains.json", dict[str, list[str]]).items()
        for intent in of
    }
    domains[OUT_OF_SCOPE] = OUT_OF_SCOPE
    if set(domains) != set(whole.class_names):
        raise DataError(f"'{folder / 'domains.json'}' must name the domain of every intent, got {len(domains) - 1}")
    groups = np.unique([domains[name] for name in whole.class_names], return_inverse=True)[1]
    return replace(whole, descriptors=spoken(whole.class_names), groups=groups)


def _parts(path: Path) -> dict[str, Any]:
    content = read_json(path, dict[str, list[tuple[str, str]]])
    for key, count in PARTS.values():
        if len(content.get(key, ())) != count:
            raise DataError(
                f"'{path}' must have {count} requests in '{key}', got {len(content.get(key, ()))}; fetch it again"
            )
    return {part: content[key] for part, (key, _) in PARTS.items()}
