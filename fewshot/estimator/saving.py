"""A classifier as one file: safetensors with the features of the examples, and JSON in its metadata."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from fewshot.errors import DataError, FewShotError, MissingDataError
from fewshot.estimator import labels
from fewshot.estimator.described import Described
from fewshot.estimator.model import Calibration, Model
from fewshot.estimator.parts import (
    DEFAULTS,
    as_given,
    default_learner,
    make_backbone,
    make_learner,
    named_backbone,
    named_learner,
    plain,
)
from fewshot.estimator.rows import Columns
from fewshot.estimator.saved_form import SCHEMA, UNSEALED, Saved
from fewshot.evaluation.describe import versions
from fewshot.plumbing.device import on_device
from fewshot.plumbing.sealed import Damaged, carries_hash, read_tensors, write_tensors

KEY = "fewshot-classifier"


def save_model(path: Path, model: Model, answers: dict[str, Any]) -> Path:
    """Write a model with the parameters that made it; see `FewShotClassifier.save`.

    Args:
        path: The file.
        model: Fitted.
        answers: Parameters of the estimator that say how it answers, as they are now.
    """
    made = model.made
    given = DEFAULTS[model.kind] if made["backbone"] is None else made["backbone"]
    backbone, backbone_options = named_backbone(given, made["backbone_options"])
    own = default_learner(model.described) if made["learner"] is None else made["learner"]
    learner, learner_options = named_learner(own, made["learner_options"])
    others = {**{name: made[name] for name in ("calibrate", "seed", "prompts")}, **answers}
    said = model.described
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
        "described": None if said is None else {"labels": labels.as_json(said.labels), "texts": said.said},
        "texts": model.items.tolist() if isinstance(model.items, np.ndarray) else None,
        "columns": None if model.columns is None else model.columns._asdict(),
        "versions": versions(),
    }  # fmt: skip
    tensors = {} if isinstance(model.items, np.ndarray) else {"items": model.items}
    if said is not None:
        tensors["described"] = said.vectors
    return write_tensors(path, tensors, {KEY: json.dumps(content, ensure_ascii=False, allow_nan=False)})


def load_model(path: Path, device: torch.device) -> tuple[Model, dict[str, Any]]:
    """A model on a device, and the parameters of its estimator; see `FewShotClassifier.load`."""
    tensors, saved = _read(path)
    given = saved.parameters.model_dump()
    backbone = make_backbone(given["backbone"], given["backbone_options"])
    if fingerprint(backbone) != saved.fingerprint:
        raise DataError(
            f"'{path}' must be loaded with the weights that it was made with, got others for the backbone "
            f"'{given['backbone']}'; install those, or fit the classifier anew"
        )
    try:
        items, described = _items(tensors, saved), _described(tensors, saved)
        examples, declared = labels.from_json(saved.labels), saved.declared and labels.from_json(saved.declared)
        _require_as_many(len(items), len(examples), "examples", "labels")
    except FewShotError as error:
        raise _no_classifier(path, str(error)) from None
    parameters = given | {"descriptions": None if described is None else described.as_given()}
    model = Model(
        saved.kind,
        on_device(backbone, device),
        on_device(make_learner(given["learner"], given["learner_options"]), device),
        items,
        examples,
        declared,
        described,
        given["seed"],
        given["calibrate"],
        Calibration(**saved.calibration),
        _columns(saved, items),
        as_given(parameters),
        device,
    )
    return model, parameters


def fingerprint(backbone: Any) -> str | None:
    """What names weights and preprocessing of a backbone, where it has a name for them."""
    own = getattr(backbone, "fingerprint", None)
    return None if own is None else str(own())


def _read(path: Path) -> tuple[dict[str, Tensor], Saved]:
    if not path.is_file():
        raise MissingDataError(f"'{path}' must be a saved classifier, got no file; check the path")
    try:
        tensors, metadata = read_tensors(path)
    except Damaged as error:
        raise _no_classifier(path, str(error)) from None
    if KEY not in metadata:
        raise _no_classifier(path, "a safetensors file of something else")
    try:
        saved = Saved.model_validate_json(metadata[KEY])
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "later_schema":
            raise DataError(
                f"'{path}' must have schema {SCHEMA} or older, got {first['input']}; update fewshot"
            ) from None
        where = ".".join(map(str, first["loc"])) or "its description"
        raise _no_classifier(path, f"{first['msg']} at '{where}'") from None
    if saved.schema_ > UNSEALED and not carries_hash(path):
        raise _no_classifier(path, "no SHA-256 of its content")
    return tensors, saved


def _no_classifier(path: Path, reason: str) -> DataError:
    first = (reason.splitlines() or ["nothing"])[0]
    return DataError(f"'{path}' must be a whole saved classifier, got {first}; save it again")


def _items(tensors: dict[str, Tensor], saved: Saved) -> Any:
    if saved.texts is not None:
        return np.array(saved.texts, np.dtypes.StringDType())
    return _finite(tensors, "items")


def _described(tensors: dict[str, Tensor], saved: Saved) -> Described | None:
    if saved.described is None:
        return None
    vectors, names = _finite(tensors, "described"), labels.from_json(saved.described["labels"])
    _require_as_many(len(vectors), len(names), "descriptors", "labels")
    texts = saved.described["texts"]
    if texts is not None:
        _require_as_many(len(texts), len(names), "descriptions", "labels")
    return Described(names, vectors, None if texts is None else tuple(texts))


def _finite(tensors: dict[str, Tensor], name: str) -> Tensor:
    found = tensors.get(name)
    if found is None or found.ndim < 2 or not found.is_floating_point() or not bool(torch.isfinite(found).all()):
        raise DataError(f"no finite rows called '{name}'")
    return found


def _require_as_many(one: int, other: int, *names: str) -> None:
    if one != other:
        raise DataError(f"{one} {names[0]} and {other} {names[1]}")


def _columns(saved: Saved, items: Any) -> Columns | None:
    """Columns of the tables that it reads; version 0.1.0 wrote none, and without a backbone their number is known."""
    if saved.columns is not None:
        return saved.columns
    plain_rows = saved.kind == "rows" and saved.parameters.backbone == "none"
    return Columns(items.shape[1]) if plain_rows else None
