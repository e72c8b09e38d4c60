"""One row of a recipe's table: options chosen on validation classes, episodes judged, the record named."""

import json
from typing import Any

from fewshot.datasets.collection import Collection
from fewshot.datasets.index import load_dataset, load_episodes
from fewshot.episodes import FixedEpisodes, training_draws
from fewshot.errors import RecipeError
from fewshot.evaluation.choose import choose
from fewshot.evaluation.evaluate import evaluate
from fewshot.evaluation.target import same_part
from fewshot.recipes.build import require_takes, with_options
from fewshot.recipes.schema import Recipe, Row
from fewshot.records.choice import Choice
from fewshot.records.record import Record


def row_name(recipe: Recipe, row: Row) -> str:
    """File name of a row's record: ``omniglot-protonet-5w1s``, then what else differs."""
    asked = {key: getattr(row, key) for key in ("dirichlet", "unlabelled", "distractors") if getattr(row, key)}
    if row.query and not row.dirichlet:
        asked["query"] = row.query
    options = asked | row.data_options | row.learner_options
    start = [recipe.name, *([recipe.label] if recipe.label else []), f"{row.way}w{row.shot}s"]
    return "-".join([*start, *(f"{k}-{v}" for k, v in options.items())])


def resolved(recipe: Recipe, row: Row) -> dict[str, Any]:
    """All settings that decide a row's record, as JSON."""
    settings: dict[str, Any] = json.loads(recipe.model_dump_json())
    settings["evaluation"]["rows"] = [json.loads(row.model_dump_json())]
    if recipe.evaluation.queries is None:  # which came later: the settings of older records stay equal
        del settings["evaluation"]["queries"], settings["evaluation"]["queries_options"]
    return settings


def is_same(record: Record, recipe: Recipe, row: Row) -> bool:
    """Whether a record was made with these settings; what is only said about them does not count."""
    if record.settings is None:
        return False
    then = Recipe.model_validate(record.settings)
    made, wanted = resolved(then, then.evaluation.rows[0]), resolved(recipe, row)
    return made | {"about": None} == wanted | {"about": None}


def judge_row(recipe: Recipe, row: Row, learner: Any, known: dict[str, Any]) -> Record:
    """The record of a row.

    Args:
        recipe: Of one learner.
        row: One of its rows.
        learner: Trained, where the recipe says so.
        known: Fields of the record that tell of the training.
    """
    section = recipe.evaluation
    data_name, data_options = recipe.asked(row)
    data = load_dataset(data_name, **data_options)
    novel = data if section.split is None or section.ask else data.split(section.split)
    require_takes(learner, novel)
    choice = _choice(recipe, row, learner)
    options = recipe.test_options | row.learner_options | ({} if choice is None else choice.options)
    learner = with_options(recipe, options, learner)
    episodes = episodes_of(recipe, row, novel)
    record = evaluate(
        learner,
        novel,
        section.spec(row),
        episodes,
        section.seed,
        queries=load_queries(recipe),
        chosen=choice,
        open_interval=section.open_interval,
    )
    name, trained_with = recipe.test_learner or recipe.learner, {} if recipe.test_learner else recipe.learner_options
    named = {
        "data": record.data.model_copy(
            update={"name": data_name, "options": data_options, "split": None if section.ask else section.split}
        ),
        "learner": record.learner.model_copy(update={"name": name, "options": trained_with | options}),
        "settings": resolved(recipe, row),
    }
    if record.target is not None:
        first, second = record.sources
        own = {"name": section.queries, "options": section.queries_options, "split": second.split and section.split}
        shared = {name: getattr(named["data"], name) for name in ("name", "options", "split")}
        named["sources"] = [first.model_copy(update=shared), second.model_copy(update=own)]
    if record.backbone is not None:
        named["backbone"] = record.backbone.model_copy(update={"name": recipe.backbone})
    if choice is not None and "selection" in known:  # weights, and then options
        named["selection"] = f"{known['selection']}; {record.selection}"
    return record.model_copy(update=known | named).with_answers(record.load_answers())


def load_queries(recipe: Recipe) -> Collection | None:
    """The second collection, where a recipe names one: the split that is asked of the first, or all of it.

    Raises:
        DataError: If it is not there, or damaged.
        UnknownNameError: If it has splits, and none of that name.
    """
    section = recipe.evaluation
    if section.queries is None:
        return None
    return same_part(load_dataset(section.queries, **section.queries_options), section.split)


def episodes_of(recipe: Recipe, row: Row, novel: Collection) -> int | FixedEpisodes:
    """How many episodes to draw for a row, or a list of them.

    Raises:
        RecipeError: If a split is asked whose classes are not as many as the row's way.
    """
    section = recipe.evaluation
    if section.episodes == "fixed":
        return load_episodes(section.data or recipe.data, novel)
    if section.ask is None:
        return section.episodes
    given = str(section.split)
    draws = training_draws(novel.labels, novel.splits, given, section.ask, row.shot, section.episodes, section.seed)
    if draws[0].n_way != row.way:
        raise RecipeError(
            f"way must be the {draws[0].n_way} classes of '{given}' where a split is asked, got {row.way}"
        )
    return draws


def _choice(recipe: Recipe, row: Row, learner: Any) -> Choice | None:
    """Options that validation classes choose for a row."""
    section = recipe.validation
    if not recipe.choose or section is None:
        return None
    of_row = row.data_options if recipe.evaluation.data is None else {}
    data = load_dataset(recipe.data, **recipe.data_options | of_row).split(section.split)
    return choose(
        lambda **options: with_options(recipe, recipe.test_options | row.learner_options | options, learner),
        recipe.choose,
        data,
        recipe.evaluation.spec(row),
        section.episodes,
        section.seed,
    )
