"""A classifier as one file: safetensors with the features of the examples, and JSON in its metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from fewshot.errors import DataError, MissingDataError
from fewshot.estimator import labels
from fewshot.estimator.described import Described
from fewshot.estimator.model import Calibration, Model
from fewshot.estimator.parts import (
    DEFAULTS,
    default_learner,
    make_backbone,
    make_learner,
    named_backbone,
    named_learner,
    plain,
)
from fewshot.estimator.saved_form import SavedClassifier
from fewshot.evaluation.describe import versions
from fewshot.files import write_bytes
from fewshot.reading import in_one_sentence, of_form

SCHEMA = 2
KEY = "fewshot-classifier"


def save_model(path: Path, model: Model, parameters: dict[str, Any]) -> Path:
    """Write a model with the parameters of its estimator; see `FewShotClassifier.save`."""
    given = DEFAULTS[model.kind] if parameters["backbone"] is None else parameters["backbone"]
    backbone, backbone_options = named_backbone(given, parameters["backbone_options"])
    own = default_learner(model.described) if parameters["learner"] is None else parameters["learner"]
    learner, learner_options = named_learner(own, parameters["learner_options"])
    others = {name: parameters[name] for name in ("calibrate", "reject_below", "reject_label", "seed", "prompts")}
    content = {
        "schema": SCHEMA,
        "parameters": {
            "backbone": backbone, "backbone_options": backbone_options or None,
            "learner": learner, "learner_options": learner_options or None,
            **plain(others, "parameters"),
        },
        "kind": model.kind,
        "fingerprint": fingerprint(model.backbone),
        "labels": labels.as_json(model.labels),
        "declared": None if model.declared is None else labels.as_json(model.declared),
        "calibration": model.calibration._asdict(),
        "described": _said(model.described, parameters["descriptions"]),
        "texts": model.items.tolist() if isinstance(model.items, np.ndarray) else None,
        "versions": versions(),
    }  # fmt: skip
    tensors = {} if isinstance(model.items, np.ndarray) else {"items": model.items.contiguous()}
    if model.described is not None:
        tensors["described"] = model.described.vectors.contiguous()
    return write_bytes(path, save(tensors, {KEY: json.dumps(content, ensure_ascii=False, allow_nan=False)}))


def load_model(path: Path) -> tuple[Model, dict[str, Any]]:
    """A model and the parameters of its estimator; see `FewShotClassifier.load`."""
    items, vectors, content = _read(path)
    parameters = content["parameters"]
    said = content["described"]
    described = None if said is None else Described(labels.from_json(said["labels"]), vectors)
    parameters["descriptions"] = None if described is None else _descriptions(described, said["texts"])
    backbone = make_backbone(parameters["backbone"], parameters["backbone_options"])
    if fingerprint(backbone) != content["fingerprint"]:
        raise DataError(
            f"'{path}' must be loaded with the weights that it was made with, got others for the backbone "
            f"'{parameters['backbone']}'; install those, or fit the classifier anew"
        )
    declared = content["declared"]
    model = Model(
        content["kind"],
        backbone,
        make_learner(parameters["learner"], parameters["learner_options"]),
        items,
        labels.from_json(content["labels"]),
        None if declared is None else labels.from_json(declared),
        described,
        parameters["seed"],
        parameters["calibrate"],
        Calibration(**content["calibration"]),
    )
    return model, parameters


def fingerprint(backbone: Any) -> str | None:
    """What names weights and preprocessing of a backbone, where it has a name for them."""
    own = getattr(backbone, "fingerprint", None)
    return None if own is None else str(own())


def _said(described: Described | None, descriptions: Any) -> dict[str, Any] | None:
    """Labels that are described, and the texts; none where vectors describe them."""
    if described is None:
        return None
    known = descriptions if isinstance(descriptions, Mapping) else {label: str(label) for label in descriptions}
    texts = list(known.values())
    return {"labels": labels.as_json(described.labels), "texts": texts if isinstance(texts[0], str) else None}


def _descriptions(described: Described, texts: list[str] | None) -> dict[Any, Any]:
    return dict(zip(described.labels.tolist(), texts or described.vectors.numpy(), strict=True))


def _read(path: Path) -> tuple[Any, Any, dict[str, Any]]:
    if not path.is_file():
        raise MissingDataError(f"'{path}' must be a saved classifier, got no file; check the path")
    needed, remedy = f"'{path}' must be a whole saved classifier", "save it again"
    with in_one_sentence(needed, remedy):
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
            content = json.loads((file.metadata() or {})[KEY])
        schema = content["schema"]
    if schema != SCHEMA:
        raise DataError(f"'{path}' must have schema {SCHEMA}, got {schema!r}; update fewshot, or save it again")
    of_form(SavedClassifier, content, needed, remedy)
    items = tensors.get("items") if content["texts"] is None else _strings(content["texts"])
    vectors = None if content["described"] is None else tensors.get("described")
    _check_rows(needed, items, content["labels"], "items")
    if content["described"] is not None:
        _check_rows(needed, vectors, content["described"]["labels"], "described")
    return items, vectors, content


def _check_rows(needed: str, rows: Any, of: dict[str, Any], name: str) -> None:
    """Let arrays pass that have a row of finite numbers, or a text, for each label.

    Raises:
        DataError: If there is none, or it is another.
    """
    count = len(of["values"])
    if rows is None or not np.ndim(rows) or len(rows) != count:
        got = "none" if rows is None else f"shape {tuple(np.shape(rows))}"
        raise DataError(f"{needed} with {count} rows in '{name}', got {got}; save it again")
    if isinstance(rows, Tensor) and not (rows.ndim > 1 and rows.is_floating_point() and bool(rows.isfinite().all())):
        raise DataError(f"{needed} with finite numbers in '{name}', got {rows.dtype}; save it again")


def _strings(items: list[str]) -> np.ndarray:
    return np.array(items, np.dtypes.StringDType())
