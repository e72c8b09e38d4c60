"""The form of a saved classifier's JSON, checked before anything of it is used."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=0, lt=2**53)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class SavedLabels(_Part):
    """A vector of labels, as `fewshot.estimator.labels.as_json` writes it."""

    dtype: Annotated[str, Field(pattern=r"^(object|\|b1|[<>|=]?[iufUT]\d*)$")]
    values: list[str | int | float | bool]

    @model_validator(mode="after")
    def _of_its_type(self) -> "SavedLabels":
        try:
            np.array(self.values, np.dtype(self.dtype))
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"labels must be of type {self.dtype}, got others: {error}") from None
        kind, known = np.dtype(self.dtype).kind, {type(value) for value in self.values}
        if not known <= {"U": {str}, "T": {str}, "b": {bool}, "i": {int}, "u": {int}, "f": {float, int}}.get(
            kind, known
        ):
            raise ValueError(f"labels must be of type {self.dtype}, got {sorted(t.__name__ for t in known)}")
        return self


class SavedParameters(_Part):
    """The parameters of the estimator."""

    backbone: str
    backbone_options: dict[str, Any] | None
    learner: str
    learner_options: dict[str, Any] | None
    calibrate: bool
    reject_below: Annotated[float, Field(ge=0, le=1)] | None
    reject_label: str | int | float | bool | None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)]
    prompts: list[str] | None


class SavedCalibration(_Part):
    """What left-out examples told."""

    temperature: Annotated[float, Field(gt=0)] | None
    right: Count
    asked: Count


class SavedDescriptions(_Part):
    """Labels that are described, and the texts where texts did."""

    labels: SavedLabels
    texts: list[str] | None

    @model_validator(mode="after")
    def _as_many(self) -> "SavedDescriptions":
        if self.texts is not None and len(self.texts) != len(self.labels.values):
            raise ValueError(f"every described label needs a text, got {len(self.texts)} for {len(self.labels.values)}")
        return self


class SavedClassifier(_Part):
    """All of the JSON."""

    schema_: Count = Field(alias="schema")
    parameters: SavedParameters
    kind: Literal["images", "texts", "rows"]
    fingerprint: str | None
    labels: SavedLabels
    declared: SavedLabels | None
    calibration: SavedCalibration
    described: SavedDescriptions | None
    texts: list[str] | None
    versions: dict[str, str]
