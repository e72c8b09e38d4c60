"""What a recipe of zero-shot learning may say: learners on descriptors, each judged on every row. One flat YAML file."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fewshot.plumbing.file_names import FileName


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ZeroShotLearner(_Section):
    """One learner of the recipe.

    Attributes:
        label: What the table calls it; the learner's name when left out.
        learner: Name of the learner.
        learner_options: Of the learner.
        choose: Values of options, of which validation classes choose one for every row.
        prompts: Templates in which the recipe's backbone embeds the texts that describe classes.
    """

    label: FileName | Literal[""] = ""
    learner: str
    learner_options: dict[str, Any] = {}
    choose: dict[str, list[Any]] = {}
    prompts: list[str] = ["{}"]

    @property
    def name(self) -> str:
        """What the table calls it."""
        return self.label or self.learner


class ZeroShotRow(_Section):
    """One setting.

    Attributes:
        label: What the table calls it.
        data_options: What differs from the recipe's.
        generalised: Whether seen classes compete, too, with held-out items of their own.
        open: Split with items of no known class, to be told from the others.
    """

    label: FileName
    data_options: dict[str, Any] = {}
    generalised: bool = False
    open: str = ""


class ZeroShotSection(_Section):
    """How every learner is judged.

    Attributes:
        rows: One record each, for each learner.
        seed: Of the bootstrap.
    """

    rows: list[ZeroShotRow] = Field(min_length=1)
    seed: int = Field(0, ge=0)


class ZeroShotRecipe(_Section):
    """One experiment: data with descriptors, learners, settings.

    Attributes:
        name: The recipe's own name, as its file's.
        about: One line for people.
        data: Name of a data set, or a path.
        data_options: Of the data set.
        backbone: Name of a backbone that embeds items, and texts that describe classes; none for items as they are.
        backbone_options: Of the backbone.
        transforms: What items go through before every learner, see `fewshot.transforms.make_transform`.
        learners: Each is judged on every row.
        reference: Label of the learner that all others are compared with, item by item; nothing is compared when left out.
        zero_shot: How.
    """

    name: FileName
    about: str = ""
    data: str
    data_options: dict[str, Any] = {}
    backbone: str | None = None
    backbone_options: dict[str, Any] = {}
    transforms: list[Any] = []
    learners: list[ZeroShotLearner] = Field(min_length=1)
    reference: str | None = None
    zero_shot: ZeroShotSection

    @model_validator(mode="after")
    def _labels_fit(self) -> "ZeroShotRecipe":
        for what, names in (
            ("learners", [c.name for c in self.learners]),
            ("rows", [r.label for r in self.zero_shot.rows]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} need labels that differ, got '{twice[0]}' twice")
        if self.reference is not None and self.reference not in [c.name for c in self.learners]:
            raise ValueError(f"reference must be the label of one of the learners, got '{self.reference}'")
        return self
