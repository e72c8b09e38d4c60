"""From names to objects: the data, the learner on its backbone, and both again from a record."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot.cli.terminal.options import fitting
from fewshot.errors import DataError, FewShotError

if TYPE_CHECKING:
    from fewshot.datasets.collection import Collection
    from fewshot.episodes import EpisodeSpec
    from fewshot.records.choice import Choice
    from fewshot.records.record import Record

TEXT_BACKBONE = "sentence-transformers:all-MiniLM-L6-v2"
WITH_BASE = {"method": "with_base, all items of the split"}


@dataclass(frozen=True)
class Setting:
    """What is judged on what, by name; enough to build it again.

    Attributes:
        data: Name or path of the data.
        data_options: Of its loader.
        split: Which split; ``"all"`` for all items, nothing for ``test`` where there are splits; ``"val:SEED"`` or
            ``"test:SEED"`` for half of the classes where there are none.
        learner: Name of the learner.
        options: Of the learner.
        backbone: Name of the backbone, ``"none"`` for the items as they are, nothing for the default:
            pixels or arrays flattened.
        base: Split whose classes the learner sees beforehand.
        queries: Name or path of a second collection with the same classes, for queries and pool.
    """

    data: str
    learner: str
    data_options: dict[str, Any] = field(default_factory=dict)
    split: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    backbone: str | None = None
    base: str | None = None
    queries: str | None = None

    def load(self) -> "tuple[Collection, Collection]":
        """All of the data, and the part that is asked for.

        Raises:
            DataError: If the data are not there, or damaged.
            UnknownNameError: If nobody knows the data, or they have no such split.
        """
        whole = self.load_whole()
        split = self.chosen_split(whole)
        return whole, whole if split is None else whole.split(split)

    def load_queries(self, whole: "Collection") -> "Collection | None":
        """The second collection: the split of it that is asked for of the first, or all where it has no splits.

        Raises:
            DataError: If it is not there, or damaged.
            UnknownNameError: If nobody knows it, or it has splits, and none of that name.
        """
        from fewshot.datasets.index import load_dataset
        from fewshot.tasks.target import same_part

        return None if self.queries is None else same_part(load_dataset(self.queries), self.chosen_split(whole))

    def load_whole(self) -> "Collection":
        """All of the data, with their splits; data without are halved where a half is named.

        Raises:
            DataError: If the data are not there, or damaged.
            UnknownNameError: If nobody knows the data.
        """
        from fewshot.datasets.class_splits import HALF, halved
        from fewshot.datasets.index import load_dataset

        if not self.data:
            raise DataError("--data must be a name or a path, got ''; see: fewshot-bench list datasets")
        whole, half = load_dataset(self.data, **self.data_options), HALF.fullmatch(self.split or "")
        return whole if whole.splits or half is None else halved(whole, int(half[2]))

    def options_as_read(self, whole: "Collection") -> dict[str, Any]:
        """Options of the loader, with the size of a user's own photos also where it was left out."""
        from fewshot.datasets.formats.tables import TABLES
        from fewshot.datasets.index import is_own

        sized = Path(self.data).suffix.lower() in ("", ".zip", *TABLES) or Path(self.data).is_dir()
        if not (sized and is_own(self.data) and whole.items.ndim == 4):
            return self.data_options
        return {"size": int(whole.items.shape[-1])} | self.data_options

    def chosen_split(self, whole: "Collection") -> str | None:
        """The name of the split: as asked for, else ``test`` where the data have splits."""
        if self.split is None:
            return "test" if whole.splits else None
        return None if self.split == "all" else self.split

    def build(self, whole: "Collection") -> Any:
        """The learner, on its backbone and with its base classes where it has them.

        Raises:
            UnknownNameError: If nobody knows learner or backbone.
            FewShotError: If texts come without a backbone, or an option is wrong.
        """
        return self.maker(whole)(**self.options)

    def maker(self, whole: "Collection") -> Callable[..., Any]:
        """Makes the learner of any options; weights are loaded once, with the first.

        Raises:
            FewShotError: If texts come without a backbone.
        """
        from fewshot.backbones.index import load_backbone
        from fewshot.evaluation.assemble import assemble
        from fewshot.learners.index import find_learner

        name, base = self.backbone_name(whole), self.base_classes(whole)
        backbone = cache(lambda: None if name is None else load_backbone(name))

        def make(**options: Any) -> Any:
            fit = fitting(find_learner(self.learner), options, "--option")  # told before weights are loaded
            try:
                return assemble(self.learner, fit, backbone(), base)
            except FewShotError as error:
                if getattr(backbone(), "dim", None) is None and _is_trained(self.learner):
                    raise FewShotError(
                        f"learner '{self.learner}' needs a trained network, got the backbone '{name or 'none'}'; "
                        "take a recipe that trains one, see: fewshot-bench list recipes"
                    ) from error
                raise

        return make

    def base_classes(self, whole: "Collection") -> "Collection | None":
        """The split whose classes the learner sees beforehand, if any."""
        return None if self.base is None else whole.split(self.base)

    def backbone_name(self, whole: "Collection") -> str | None:
        """The backbone: as asked for, none at all, or the values themselves in one row."""
        if self.backbone is not None:
            return None if self.backbone == "none" else self.backbone
        if is_text(whole.items):
            raise FewShotError(f"texts need a backbone, got none for '{self.data}'; add --backbone {TEXT_BACKBONE}")
        return "pixels"

    @classmethod
    def of(cls, record: "Record") -> "Setting":
        """The setting that a record tells of."""
        return cls(
            data=record.data.name,
            data_options=record.data.options,
            split=record.data.split or "all",
            learner=record.learner.name,
            options=record.learner.options,
            backbone=record.backbone_name or "none",
            base=record.training.split if record.training else None,
            queries=record.target.name if record.target else None,
        )

    def named(self, record: "Record", whole: "Collection") -> "Record":
        """The record with names and options as given, so that `of` finds them again."""
        from fewshot.records.record import TrainingInfo

        split, base = self.chosen_split(whole), self.base_classes(whole)
        data = {"name": self.data, "options": self.options_as_read(whole), "split": split}
        known: dict[str, Any] = {
            "data": record.data.model_copy(update=data),
            "learner": record.learner.model_copy(update={"name": self.learner, "options": self.options}),
        }
        if record.backbone is not None:
            known["backbone"] = record.backbone.model_copy(update={"name": self.backbone_name(whole)})
        if record.target is not None:
            first, second = record.sources
            own = {"name": self.queries, "split": second.split and split}
            known["sources"] = [first.model_copy(update=data), second.model_copy(update=own)]
        if base is not None:
            known["training"] = TrainingInfo(split=str(self.base), budget=WITH_BASE, seed=0, classes_hash=base.hash)
        return record.model_copy(update=known)

    def named_choice(self, choice: "Choice", whole: "Collection") -> "Choice":
        """The same for a choice of options."""
        data = {"name": self.data, "options": self.data_options, "split": self.chosen_split(whole)}
        known: dict[str, Any] = {"learner": self.learner, "data": choice.data.model_copy(update=data)}
        if choice.backbone is not None:
            known["backbone"] = choice.backbone.model_copy(update={"name": self.backbone_name(whole)})
        return choice.model_copy(update=known)


def named_settings(
    setting: Setting, spec: "EpisodeSpec", extra: dict[str, Any], whole: "Collection"
) -> tuple[dict[str, Any], str]:
    """All that decides a result, as JSON, and a name for it: readable, and different for different settings.

    Args:
        setting: What is judged on what.
        spec: Shape of the episodes.
        extra: All else.
        whole: All of the data.
    """
    resolved = {"split": setting.chosen_split(whole), "backbone": setting.backbone_name(whole)}
    given = {name: value for name, value in asdict(setting).items() if name != "queries" or value is not None}
    settings = json.loads(json.dumps(given | resolved | {"spec": spec.as_dict()} | extra, default=str))
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    second = "" if setting.queries is None else Path(setting.queries).stem
    parts = [Path(setting.data).stem, second, setting.backbone or "", setting.learner, f"{spec.way}w{spec.shot}s", key]
    return settings, "-".join(re.sub(r"[^\w.]+", "-", part).strip("-.") for part in parts if part)


def _is_trained(learner: str) -> bool:
    """Whether a learner is made for a network of its own that episodes have trained, or trains weights of a known size."""
    import inspect

    from fewshot.learners.index import LEARNERS, find_learner

    size = inspect.signature(find_learner(learner)).parameters.get("dim")
    gradient = learner in LEARNERS and LEARNERS[learner].family == "gradient"
    return gradient or (size is not None and size.default is inspect.Parameter.empty)


def is_text(items: Any) -> bool:
    """Whether items are texts."""
    return getattr(getattr(items, "dtype", None), "kind", "") in ("T", "U")
