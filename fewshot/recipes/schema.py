"""What a recipe may say. A recipe is one flat YAML file: no includes, no inheritance.

A key that is not known here is an error that names the file and the line.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator

from fewshot.episodes import EpisodeSpec
from fewshot.errors import FewShotError
from fewshot.plumbing.file_names import FileName
from fewshot.training.terms.index import named_term


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Optimisation(_Section):
    """What both kinds of training share.

    Attributes:
        split: Base classes.
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"``.
        momentum: Of ``"sgd"``.
        weight_decay: Of the optimiser.
        learning_rate: At the first step.
        schedule: See `TrainingSettings`.
        halve_every: Steps after which the learning rate is halved; 0 keeps it.
        clip: Largest gradient norm.
        average: Share that an exponential average of the weights keeps in every step.
        validate_every: Steps between validations.
        save_every: Steps between checkpoints.
        seed: Of the initial weights and of the list of what is trained on.
    """

    split: str = "train"
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal["halve", "steps", "linear", "cosine", "constant", "inverse"] = "halve"
    halve_every: int = Field(2000, ge=0)
    clip: float | None = Field(None, gt=0)
    average: float = Field(0.0, ge=0, lt=1)
    validate_every: int = Field(500, ge=1)
    save_every: int = Field(100, ge=1)
    seed: int = Field(0, ge=0)


class TrainingSection(_Optimisation):
    """Episodic training on the classes of one split.

    Attributes:
        way: Classes of a training episode.
        shot: Support items of each class.
        query: Queries of each class.
        episodes: Training episodes in all.
        tasks: Episodes of one optimiser step.
        at_once: Episodes of one forward pass; see `EpisodicTraining`.
        rotation: ``"class"`` or ``"episode"``: images are turned by a quarter turn, drawn for each.
    """

    way: int = Field(ge=2)
    shot: int = Field(ge=1)
    query: int = Field(ge=1)
    episodes: int = Field(ge=1)
    tasks: int = Field(1, ge=1)
    at_once: int | None = Field(None, ge=1)
    rotation: Literal["class", "episode"] | None = None

    @model_validator(mode="after")
    def _tasks_divide_episodes(self) -> "TrainingSection":
        if self.episodes % self.tasks:
            raise ValueError(f"episodes must be a multiple of tasks, got {self.episodes} and {self.tasks}")
        return self


class PretrainingSection(_Optimisation):
    """Supervised training of the backbone on the classes of one split, before anything else.

    Attributes:
        steps: Optimiser steps.
        batch_size: Items of a step.
        cosine: Scale of cosine logits, as in Baseline++; a linear head when left out.
        rotation: Weight of the loss on quarter turns, beside the cross-entropy; short for ``terms``.
        terms: The terms of the loss, by name, or by name with weight or options: ``[cross-entropy, {rotation: 0.5}]``.
            The cross-entropy alone when left out.
        augment: ``"crop-flip"``: images are moved and mirrored at random, see `fewshot.training.augment.crop_flip.crop_flip`.
    """

    steps: int = Field(ge=1)
    batch_size: int = Field(64, ge=1)
    cosine: float | None = Field(None, gt=0)
    rotation: float = Field(0.0, ge=0)
    augment: Literal["crop-flip"] | None = None
    terms: list[str | dict[str, Any]] = []

    @model_validator(mode="after")
    def _known_terms(self) -> "PretrainingSection":
        if self.terms and self.rotation:
            raise ValueError("rotation is one of the terms where these are given, got both 'rotation' and 'terms'")
        for term in self.whole_loss():
            try:
                named_term(term)
            except FewShotError as error:
                raise ValueError(str(error)) from None
        return self

    @model_serializer(mode="wrap")
    def _terms_where_given(self, dump: Any) -> dict[str, Any]:
        """Terms came later: the settings of older records, and the names of older checkpoints, stay equal."""
        told: dict[str, Any] = dump(self)
        return told if self.terms else {key: value for key, value in told.items() if key != "terms"}

    def whole_loss(self) -> list[str | dict[str, Any]]:
        """All terms of the loss, those of the short key included."""
        return self.terms or ["cross-entropy", *([{"rotation": self.rotation}] if self.rotation else [])]


class ValidationSection(_Section):
    """Episodes of validation classes that choose the weights; never of test classes."""

    split: Literal["val", "validation"] = "val"
    way: int = Field(5, ge=2)
    shot: int = Field(1, ge=1)
    query: int = Field(15, ge=1)
    episodes: int = Field(1000, ge=2)
    seed: int = Field(0, ge=0)


class Candidate(_Section):
    """One learner of a recipe that compares many.

    Attributes:
        label: What the table calls it; the learner's name when left out.
        learner: Name of the learner.
        learner_options: Of the learner.
        test_learner: Name of another learner, which is judged with the trained backbone, such as ``"fine-tune"``.
        test_options: Options that hold after training only.
        choose: Values of an option, of which validation classes choose one for every row.
        pretraining: Absent for backbones that are not pre-trained.
        training: Absent for learners that are not trained on episodes.
    """

    label: FileName | None = None
    learner: str
    learner_options: dict[str, Any] = {}
    test_learner: str = ""
    test_options: dict[str, Any] = {}
    choose: dict[str, list[Any]] = {}
    pretraining: PretrainingSection | None = None
    training: TrainingSection | None = None


class Row(_Section):
    """One row of the table: what differs from the evaluation's settings."""

    way: int = Field(5, ge=1)
    shot: int = Field(1, ge=0)
    query: int | None = Field(None, ge=1)
    dirichlet: float | None = Field(None, gt=0)
    unlabelled: int = Field(0, ge=0)
    distractors: int = Field(0, ge=0)
    open_way: int = Field(0, ge=0)
    open_query: int | None = Field(None, ge=1)
    data_options: dict[str, Any] = {}
    learner_options: dict[str, Any] = {}


class EvaluationSection(_Section):
    """How every row is evaluated.

    Attributes:
        data: Name of other data than those of the training, or a path.
        data_options: Of these.
        split: Novel classes; none for a collection without splits.
        queries: Name of a second collection with the same classes, or a path: queries and pool come from it, of the same
            split where it has splits.
        queries_options: Of these.
        ask: A split of the same classes, all of which every episode queries, with examples drawn from ``split``: then
            a row's way is the number of classes, and its query is not looked at.
        episodes: Number of episodes, or ``"fixed"`` for the list that comes with the data.
        query: Queries of each class.
        seed: Names the list of episodes.
        dirichlet: Concentration of the query's class shares; balanced when left out.
        open_interval: Whether disjoint episodes are evaluated too.
        half_width: As many episodes as this half width of the interval needs, by a pilot; ``episodes`` is then not read.
        min_items: Classes with fewer items are left out, and the record says how many; 0 keeps all.
        keep_scores: Whether the answers keep every score.
        allow_seen: Whether the learner may have been trained on classes that are queried; the record says so.
        rows: One record each.
    """

    data: str | None = None
    data_options: dict[str, Any] = {}
    split: str | None = "test"
    queries: str | None = None
    queries_options: dict[str, Any] = {}
    ask: str | None = None
    episodes: int | Literal["fixed"] = 1000
    query: int = Field(15, ge=1)
    seed: int = Field(0, ge=0)
    dirichlet: float | None = Field(None, gt=0)
    open_interval: bool = True
    half_width: float | None = Field(None, gt=0)
    min_items: int = Field(0, ge=0)
    keep_scores: bool = False
    allow_seen: bool = False
    rows: list[Row] = Field(min_length=1)

    @model_validator(mode="after")
    def _queries_are_drawn(self) -> "EvaluationSection":
        if self.queries is not None and (self.ask is not None or self.episodes == "fixed"):
            raise ValueError("queries of a second collection are drawn, got 'ask' or fixed episodes beside 'queries'")
        if self.queries is None and self.queries_options:
            raise ValueError("queries_options are for 'queries', got no 'queries'")
        drawn = self.ask is None and self.episodes != "fixed"
        for key in ("half_width", "min_items"):
            if getattr(self, key) and not drawn:
                raise ValueError(f"{key} is for episodes that are drawn, got 'ask' or fixed episodes beside '{key}'")
        return self

    def spec(self, row: Row) -> EpisodeSpec:
        """Shape of the episodes of a row."""
        return EpisodeSpec(
            row.way,
            row.shot,
            row.query or self.query,
            dirichlet=row.dirichlet or self.dirichlet,
            unlabelled=row.unlabelled,
            distractors=row.distractors,
            open_way=row.open_way,
            open_query=row.open_query,
        )


class Recipe(_Section):
    """One experiment: data, learner, training, evaluation.

    Attributes:
        name: The recipe's own name, as its file's.
        run: Name of the training run, where recipes or learners share one; the recipe's own when left out.
        about: One line for people.
        data: Name of a data set, or a path.
        learner: Name of a learner.
        test_learner: Name of another learner, which is judged with the trained backbone.
        test_options: Options that hold after training only: of the learner, or of the one that is judged.
        learners: Many of them instead, each to be judged on every row.
        label: What the table calls the learner, where a recipe compares many.
        choose: Values of an option, of which validation classes choose one for every row.
        base: Split whose classes are shown to learners that take base classes.
        backbone: Name of a backbone; none for learners on the items themselves.
        prompts: Templates in which the backbone embeds texts that describe classes, such as ``"a request about {}"``.
        freeze_backbone: Whether training leaves the backbone as it is.
        pretraining: Absent for backbones that are not pre-trained.
        training: Absent for learners that are not trained on episodes.
        validation: How weights and options are chosen; without it the last weights are kept.
        reference: Label that all others are compared with, where a recipe compares many.
        overtakes: Label of a learner that needs no example: the table says from how many examples on each other one is better.
    """

    name: FileName
    run: FileName | None = None
    about: str = ""
    data: str
    data_options: dict[str, Any] = {}
    learner: str = ""
    learner_options: dict[str, Any] = {}
    test_learner: str = ""
    test_options: dict[str, Any] = {}
    learners: list[Candidate] = []
    label: FileName | None = None
    choose: dict[str, list[Any]] = {}
    base: str | None = None
    backbone: str | None = None
    backbone_options: dict[str, Any] = {}
    prompts: list[str] = []
    freeze_backbone: bool = False
    pretraining: PretrainingSection | None = None
    training: TrainingSection | None = None
    validation: ValidationSection | None = None
    evaluation: EvaluationSection
    reference: str | None = None
    overtakes: str | None = None

    def asked(self, row: Row) -> tuple[str, dict[str, Any]]:
        """Name and options of the data that a row is judged on."""
        section = self.evaluation
        options = self.data_options if section.data is None else section.data_options
        return section.data or self.data, options | row.data_options

    @model_validator(mode="after")
    def _one_or_many(self) -> "Recipe":
        if bool(self.learner) == bool(self.learners):
            raise ValueError("a recipe needs either 'learner' or 'learners'")
        for key, label in (("reference", self.reference), ("overtakes", self.overtakes)):
            if label is not None and label not in [c.label or c.learner for c in self.learners]:
                raise ValueError(f"{key} must be the label of one of the learners, got '{label}'")
        if self.validation is None and (self.choose or any(c.choose for c in self.learners)):
            raise ValueError("options are chosen on validation classes, got no 'validation'")
        return self

    def singles(self) -> list["Recipe"]:
        """A recipe for each of the learners: this one, where it has only one."""
        if not self.learners:
            return [self]
        many = ("learner", "learner_options", "test_learner", "test_options", "choose", "pretraining", "training")
        return [
            self.model_copy(
                update={"learners": [], "reference": None, "overtakes": None, "label": c.label or c.learner}
                | {key: getattr(c, key) for key in many}
            )
            for c in self.learners
        ]
