"""The form of the JSON in a saved classifier."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, field_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from fewshot.estimator.rows import Columns

SCHEMA = 3  # with the columns of tables
UNSEALED = 2  # of version 0.1.0, whose files carry no hash
Label = bool | int | float | str


class Labels(TypedDict):
    """See `fewshot.estimator.labels.as_json`."""

    dtype: str
    values: list[Label]


class Descriptions(TypedDict):
    """Labels that are described, and the texts that do; nothing where vectors do."""

    labels: Labels
    texts: list[str | None] | None


class Known(TypedDict):
    """See `fewshot.estimator.model.Calibration`."""

    temperature: Annotated[float, Field(ge=1e-25, le=1e25)] | None
    right: NonNegativeInt
    asked: NonNegativeInt


class Parameters(BaseModel):
    """Those of the estimator but the descriptions."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    backbone: str
    backbone_options: dict[str, Any] | None
    learner: str
    learner_options: dict[str, Any] | None
    prompts: list[str] | str | None
    calibrate: Any
    seed: int = Field(ge=0, lt=2**63)
    reject_below: Any
    reject_label: Any


class Saved(BaseModel):
    """All of it."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    schema_: int = Field(alias="schema", ge=2)
    parameters: Parameters
    kind: Literal["images", "texts", "rows"]
    fingerprint: str | None
    labels: Labels
    declared: Labels | None
    calibration: Known
    described: Descriptions | None
    texts: list[str] | None
    columns: Columns | None = None
    versions: dict[str, str]

    @field_validator("schema_")
    @classmethod
    def _is_not_later(cls, schema: int) -> int:
        if schema > SCHEMA:
            raise PydanticCustomError("later_schema", "a later schema")
        return schema
