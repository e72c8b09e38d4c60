"""A record's data, episodes and learner, built again."""

from typing import TYPE_CHECKING, Any

from fewshot.errors import RecordError

if TYPE_CHECKING:
    from fewshot.datasets.collection import Collection
    from fewshot.records.record import Record


def same_items(record: "Record") -> "tuple[Collection, Collection]":
    """All of the data, and the very items that the record was asked.

    Raises:
        DataError: If the data are not there, or damaged.
        RecordError: If they have changed since.
    """
    from fewshot.cli.objects.setting import Setting
    from fewshot.recipes.transfer import is_transfer, task_of_record

    whole, asked = (task_of_record(record).items,) * 2 if is_transfer(record) else Setting.of(record).load()
    if asked.hash != record.data.hash:
        raise RecordError("the data have changed since")
    return whole, asked


def same_queries(record: "Record") -> "Collection | None":
    """The second collection that queries of the record came from, where there is one.

    Raises:
        DataError: If the data are not there, or damaged.
        RecordError: If they have changed since.
    """
    from fewshot.datasets.index import load_dataset

    known = record.target
    if known is None:
        return None
    whole = load_dataset(known.name, **known.options)
    queries = whole if known.split is None else whole.split(known.split)
    if queries.hash != known.hash:
        raise RecordError(f"the data of the queries, '{known.name}', have changed since")
    return queries


def same_episodes(record: "Record", asked: "Collection", queries: "Collection | None" = None) -> Any:
    """The sampler, or the list, of a record's episodes.

    Args:
        record: Of one list of episodes.
        asked: Its items.
        queries: Those of its queries, where they come from a second collection.

    Raises:
        FewShotError: If nobody knows such a list.
        RecordError: If the record is one of transfer between domains.
    """
    from fewshot.datasets.index import load_episodes
    from fewshot.episodes import EpisodeSpec
    from fewshot.recipes.rows import episodes_of
    from fewshot.recipes.schema import Recipe
    from fewshot.recipes.transfer import is_transfer
    from fewshot.tasks.target import make_sampler

    if is_transfer(record):
        raise RecordError(
            "a record of transfer has single items of the target for episodes, which are not shown; see the table"
        )

    if record.episodes.spec:
        return make_sampler(asked, EpisodeSpec.from_dict(record.episodes.spec), record.episodes.seed, queries)
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
    from fewshot.cli.objects.setting import Setting
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
