"""A record's data, episodes and learner, built again."""

from typing import TYPE_CHECKING, Any

from fewshot.errors import RecordError

if TYPE_CHECKING:
    from fewshot.datasets.collection import Collection
    from fewshot.results.record import Record


def same_items(record: "Record") -> "tuple[Collection, Collection]":
    """All of the data, and the very items that the record was asked.

    Raises:
        DataError: If the data are not there, or damaged.
        RecordError: If they have changed since.
    """
    from fewshot.cli.setting import Setting

    whole, asked = Setting.of(record).load()
    if asked.hash != record.data.hash:
        raise RecordError("the data have changed since")
    return whole, asked


def same_episodes(record: "Record", asked: "Collection") -> Any:
    """The sampler, or the list, of a record's episodes.

    Args:
        record: Of one list of episodes.
        asked: Its items.

    Raises:
        FewShotError: If nobody knows such a list.
    """
    from fewshot.datasets.index import load_episodes
    from fewshot.episodes import EpisodeSampler, EpisodeSpec
    from fewshot.recipes.rows import episodes_of
    from fewshot.recipes.schema import Recipe

    if record.episodes.spec:
        spec, names = EpisodeSpec.from_dict(record.episodes.spec), asked.class_names
        return EpisodeSampler(asked.labels, spec, record.episodes.seed, class_names=names, groups=asked.groups)
    if record.recipe:
        recipe = Recipe.model_validate(record.settings)
        return episodes_of(recipe, recipe.evaluation.rows[0], asked)
    return load_episodes(record.data.name, asked)


def same_learner(record: "Record", whole: "Collection") -> Any:
    """The learner of a record, with its weights.

    Raises:
        MissingDataError: If trained weights are not on this machine.
        RecordError: If the backbone is another one than the record's.
    """
    from fewshot.cli.setting import Setting
    from fewshot.recipes.rebuild import rebuild_learner

    learner = rebuild_learner(record) if record.recipe else Setting.of(record).build(whole)
    _check_weights(record, learner)
    return learner


def _check_weights(record: "Record", learner: Any) -> None:
    fingerprint = getattr(getattr(learner, "backbone", None), "fingerprint", None)
    wanted = record.backbone.fingerprint if record.backbone else None
    if wanted is not None and (fingerprint is None or fingerprint() != wanted):
        found = "none" if fingerprint is None else fingerprint()
        raise RecordError(f"verifying needs the very backbone of the record, '{wanted}', got '{found}'")
