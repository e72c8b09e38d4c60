"""A record's data, episodes and learner, built again."""

from typing import TYPE_CHECKING, Any

from fewshot.errors import RecordError

if TYPE_CHECKING:
    from fewshot.datasets.collection import Collection
    from fewshot.recipes.data import RowData
    from fewshot.records.record import Record


def same_data(record: "Record") -> "RowData":
    """The very items that a record was made of: all of its data, the part that was queried, a second collection.

    Raises:
        DataError: If the data are not there, or damaged.
        RecordError: If they have changed since.
    """
    from fewshot.recipes.data import RowData
    from fewshot.recipes.rebuild import recipe_of
    from fewshot.recipes.transfer import is_transfer, task_of_record

    if is_transfer(record):
        items = task_of_record(record).items
        data = RowData(items, items)
    else:
        recipe = recipe_of(record)
        data = RowData.of(recipe, recipe.evaluation.rows[0])
    for known, here in ((record.data, data.novel), (record.target, data.queries)):
        if known is not None and (here is None or here.hash != known.hash):
            found = "none" if here is None else here.hash[:16]
            raise RecordError(
                f"'{known.name}' must hold the very items of the record, hash {known.hash[:16]}, got {found}; the data, "
                "their options or their decoder have changed since"
            )
    return data


def same_episodes(record: "Record", data: "RowData") -> Any:
    """The sampler, or the list, of a record's episodes.

    Args:
        record: Of one list of episodes.
        data: Its items.

    Raises:
        FewShotError: If nobody knows such a list.
        RecordError: If the record is one of transfer between domains.
    """
    from fewshot.datasets.index import load_episodes
    from fewshot.episodes import EpisodeSpec
    from fewshot.recipes.rebuild import recipe_of
    from fewshot.recipes.rows import episodes_of
    from fewshot.recipes.transfer import is_transfer
    from fewshot.tasks.target import make_sampler

    if is_transfer(record):
        raise RecordError(
            "a record of transfer has single items of the target for episodes, which are not shown; see the table"
        )
    if record.episodes.spec:
        return make_sampler(data.novel, EpisodeSpec.from_dict(record.episodes.spec), record.episodes.seed, data.queries)
    if record.recipe:
        recipe = recipe_of(record)
        return episodes_of(recipe, recipe.evaluation.rows[0], data.novel)
    return load_episodes(record.data.name, data.novel)


def same_learner(record: "Record", whole: "Collection") -> Any:
    """The learner of a record, with its weights.

    Raises:
        MissingDataError: If trained weights are not on this machine.
        RecordError: If the backbone is another one than the record's.
    """
    from fewshot.recipes.rebuild import rebuild_learner

    learner = rebuild_learner(record, whole)
    _check_weights(record, learner)
    return learner


def _check_weights(record: "Record", learner: Any) -> None:
    fingerprint = getattr(getattr(learner, "backbone", None), "fingerprint", None)
    wanted = record.backbone.fingerprint if record.backbone else None
    if wanted is not None and (fingerprint is None or fingerprint() != wanted):
        found = "none" if fingerprint is None else fingerprint()
        raise RecordError(f"verifying needs the very backbone of the record, '{wanted}', got '{found}'")
