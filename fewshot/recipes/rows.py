"""One row of a recipe's table: options chosen on validation classes, episodes judged, the record named."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel

from fewshot.claims import claims_of
from fewshot.datasets.collection import Collection
from fewshot.datasets.index import load_dataset, load_episodes
from fewshot.episodes import FixedEpisodes, training_draws
from fewshot.errors import RecipeError
from fewshot.evaluation.assemble import sees_base
from fewshot.evaluation.choose import choose
from fewshot.evaluation.evaluate import evaluate
from fewshot.plumbing.device import Device
from fewshot.recipes.build import require_takes, with_options
from fewshot.recipes.data import RowData
from fewshot.recipes.schema import EvaluationSection, Recipe, Row
from fewshot.recipes.units import Announce
from fewshot.records.choice import Choice
from fewshot.records.record import Record
from fewshot.statistics.stopping import PILOT_EPISODES, two_stage_count
from fewshot.tasks.overlap import check_overlap


def row_name(recipe: Recipe, row: Row) -> str:
    """File name of a row's record: ``omniglot-protonet-5w1s``, then what else differs."""
    kinds = ("dirichlet", "unlabelled", "distractors", "open_way", "open_query")
    asked = {key: getattr(row, key) for key in kinds if getattr(row, key)}
    if row.query and not row.dirichlet:
        asked["query"] = row.query
    options = asked | row.data_options | row.learner_options
    start = [recipe.name, *([recipe.label] if recipe.label else []), f"{row.way}w{row.shot}s"]
    return "-".join([*start, *(f"{k}-{v}" for k, v in options.items())])


LATER = ("queries", "queries_options", "half_width", "min_items", "keep_scores", "allow_seen", "open_way", "open_query")


def resolved(recipe: Recipe, row: Row) -> dict[str, Any]:
    """All settings that decide a row's record, as JSON; keys that came later only where they are used, so that older records stay equal."""
    settings: dict[str, Any] = json.loads(recipe.model_dump_json())
    settings["evaluation"] = _used(settings["evaluation"], EvaluationSection)
    settings["evaluation"]["rows"] = [_used(json.loads(row.model_dump_json()), Row)]
    return settings


def _used(section: dict[str, Any], kind: type[BaseModel]) -> dict[str, Any]:
    fields = kind.model_fields
    return {key: value for key, value in section.items() if key not in LATER or value != fields[key].default}


def is_same(record: Record, recipe: Recipe, row: Row) -> bool:
    """Whether a record was made with these settings; what is only said about them does not count."""
    if record.settings is None:
        return False
    then = Recipe.model_validate(record.settings)
    made, wanted = resolved(then, then.evaluation.rows[0]), resolved(recipe, row)
    return made | {"about": None} == wanted | {"about": None}


def judge_row(
    recipe: Recipe,
    row: Row,
    learner: Any,
    known: dict[str, Any],
    data: RowData | None = None,
    *,
    chosen: Choice | None = None,
    report: Callable[[int, int], None] = lambda done, count: None,
    announce: Announce = lambda text: None,
    device: Device | None = None,
) -> Record:
    """The record of a row.

    Args:
        recipe: Of one learner.
        row: One of its rows.
        learner: Trained, where the recipe says so.
        known: Fields of the record that tell of the training.
        data: Of the row, where they are loaded.
        chosen: How the recipe's options were chosen, where that was done before.
        report: Called after every batch with the episodes that are done, and all of them.
        announce: Called with a line about the number of episodes, where a half width decides it.
        device: Where to compute; where the learner is, when left out.

    Raises:
        FewShotError: As `fewshot.evaluate`.
    """
    section = recipe.evaluation
    data = RowData.of(recipe, row) if data is None else data
    require_takes(learner, data.novel)
    choice = _choice(recipe, row, learner, device) if chosen is None else chosen
    options = recipe.test_options | row.learner_options | ({} if choice is None or chosen is choice else choice.options)
    learner = with_options(recipe, options, learner)
    seen = base_seen(recipe, learner, data)
    record = evaluate(
        learner,
        data.novel,
        section.spec(row),
        _count(recipe, row, learner, data, announce, device),
        section.seed,
        queries=data.queries,
        chosen=choice,
        open_interval=section.open_interval,
        keep_scores=section.keep_scores,
        allow_seen=section.allow_seen,
        device=device,
        report=report,
    )
    if choice is not None and "selection" in known:  # weights, and then options
        known = known | {"selection": f"{known['selection']}; {record.selection}"}
    notes = {"notes": [*record.notes, *data.notes]}
    named = _named(recipe, row, record, options)
    return record.model_copy(update=seen | known | named | notes).with_answers(record.load_answers())


def _named(recipe: Recipe, row: Row, record: Record, options: dict[str, Any]) -> dict[str, Any]:
    """Fields of the record with names and options as the recipe has them."""
    section = recipe.evaluation
    data_name, data_options = recipe.asked(row)
    name, trained_with = recipe.test_learner or recipe.learner, {} if recipe.test_learner else recipe.learner_options
    shared = {"name": data_name, "options": data_options, "split": None if section.ask else section.split}
    named: dict[str, Any] = {
        "data": record.data.model_copy(update=shared),
        "learner": record.learner.model_copy(update={"name": name, "options": trained_with | options}),
        "settings": resolved(recipe, row),
    }
    if record.target is not None:
        first, second = record.sources
        own = {"name": section.queries, "options": section.queries_options, "split": second.split and section.split}
        named["sources"] = [first.model_copy(update=shared), second.model_copy(update=own)]
    if record.backbone is not None:
        named["backbone"] = record.backbone.model_copy(update={"name": recipe.backbone})
    return named


def base_seen(recipe: Recipe, learner: Any, data: RowData) -> dict[str, Any]:
    """What a learner with base classes has seen, those included; nothing where it has none.

    Raises:
        LeakageError: If they are queried, unless the recipe allows it.
    """
    if recipe.base is None or not sees_base(learner):
        return {}
    base = data.whole if recipe.evaluation.data is None else load_dataset(recipe.data, **recipe.data_options)
    names = {*base.split(recipe.base).qualified_names(), *claims_of(learner).classes_seen}
    seen = check_overlap(SimpleNamespace(classes_seen=names), data.novel, recipe.evaluation.allow_seen, data.queries)
    return {} if seen is None else {"pretraining_classes": seen}


def _count(
    recipe: Recipe, row: Row, learner: Any, data: RowData, announce: Announce, device: Device | None
) -> int | FixedEpisodes:
    """Episodes of a row: as many as the recipe says, a list, or what a half width needs by the spread of a pilot."""
    section = recipe.evaluation
    if section.half_width is None:
        return episodes_of(recipe, row, data.novel)
    pilot = evaluate(
        learner,
        data.novel,
        section.spec(row),
        PILOT_EPISODES,  # which are the first of them
        section.seed,
        queries=data.queries,
        allow_seen=section.allow_seen,
        device=device,
    )
    count = two_stage_count(pilot.accuracies, section.half_width, pilot.summary.level)
    announce(f"a half width of {section.half_width:g} needs {count} episodes, by a pilot of {PILOT_EPISODES}")
    return count


def episodes_of(recipe: Recipe, row: Row, novel: Collection) -> int | FixedEpisodes:
    """How many episodes to draw for a row, or a list of them.

    Raises:
        RecipeError: If a queried split has another number of classes than the row's way.
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
            f"way must be the {draws[0].n_way} classes of '{given}' where a split is queried, got {row.way}"
        )
    return draws


def _choice(recipe: Recipe, row: Row, learner: Any, device: Device | None) -> Choice | None:
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
        device=device,
    )
