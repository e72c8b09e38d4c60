"""What a recipe of transfer between domains may say: learners, each evaluated from source to target. One flat YAML file."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TransferLearner(_Section):
    """One learner of the recipe.

    Attributes:
        label: What the table calls it; the learner's name when left out.
        learner: Name of the learner.
        learner_options: Of the learner.
        options_by_task: Options of single tasks, such as ``"C>A": {dim: 20}``; a table says that they were fitted.
    """

    label: str = ""
    learner: str
    learner_options: dict[str, Any] = {}
    options_by_task: dict[str, dict[str, Any]] = {}

    @property
    def name(self) -> str:
        """What the table calls it."""
        return self.label or self.learner


class Domain(_Section):
    """Items that are a source or a target.

    Attributes:
        data: Name of a data set, or a path.
        data_options: Of the data set.
        split: A part of it; all of it when left out.
    """

    data: str
    data_options: dict[str, Any] = {}
    split: str | None = None


class TransferSection(_Section):
    """How every learner is evaluated.

    Attributes:
        domains: By a short name each.
        tasks: ``SOURCE>TARGET``, by the names of the domains.
        protocol: See `fewshot.Transfer`; so are the others.
        per_class: Items of each source class; a number, or one by domain.
        draws: Sets of source items.
        labelled: Labelled items of each class of the target.
        seed: Of the draws.
        common_classes: Drop classes that one domain lacks.
        allow_fewer: Let smaller source classes give all of their items; a record's settings name it where it is set.
        allow_equal: Let equal items pass.
    """

    domains: dict[str, Domain] = Field(min_length=2)
    tasks: list[str] = Field(min_length=1)
    protocol: Literal["inductive", "transductive"] = "inductive"
    per_class: int | dict[str, int] | None = None
    draws: int = Field(1, ge=1)
    labelled: int = Field(0, ge=0)
    seed: int = Field(0, ge=0)
    common_classes: bool = False
    allow_fewer: bool = False
    allow_equal: bool = False

    @model_validator(mode="after")
    def _domains_are_there(self) -> "TransferSection":
        for task in self.tasks:
            names = task.split(">")
            if len(names) != 2 or set(names) - set(self.domains):
                raise ValueError(f"a task must be SOURCE>TARGET with two of {sorted(self.domains)}, got '{task}'")
        return self


class TransferRecipe(_Section):
    """One experiment: domains, learners, tasks between the domains.

    Attributes:
        name: The recipe's own name, as its file's.
        about: One line for people.
        backbone: Name of a backbone that embeds items; none for items as they are.
        backbone_options: Of the backbone.
        transforms: What items go through before every learner, see `fewshot.transforms.make_transform`.
        learners: Each is evaluated on every task.
        reference: Label of the learner that all others are compared with, item by item.
        transfer: How.
    """

    name: str
    about: str = ""
    backbone: str | None = None
    backbone_options: dict[str, Any] = {}
    transforms: list[Any] = []
    learners: list[TransferLearner] = Field(min_length=1)
    reference: str | None = None
    transfer: TransferSection

    @model_validator(mode="after")
    def _labels_fit(self) -> "TransferRecipe":
        names = [one.name for one in self.learners]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"learners need labels that differ, got '{twice[0]}' twice")
        if self.reference is not None and self.reference not in names:
            raise ValueError(f"reference must be the label of one of the learners, got '{self.reference}'")
        unknown = sorted({task for one in self.learners for task in one.options_by_task} - set(self.transfer.tasks))
        if unknown:
            raise ValueError(f"options_by_task must name tasks of the recipe, got '{unknown[0]}'")
        return self
