"""What ``evaluate`` computes: a learner with its base classes, as many episodes as needed, a record."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from fewshot.claims import claims_of
from fewshot.cli.objects.setting import Setting
from fewshot.cli.terminal.output import note
from fewshot.cli.terminal.progress import progress_line
from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSpec
from fewshot.errors import EpisodeError, NotFittedError, ShapeError
from fewshot.evaluation.answers import eval_mode, score, support_set
from fewshot.evaluation.evaluate import evaluate
from fewshot.records.choice import Choice
from fewshot.records.record import Record, SeenClasses
from fewshot.statistics.stopping import PILOT_EPISODES, two_stage_count
from fewshot.tasks.overlap import asked_classes, check_overlap
from fewshot.tasks.target import make_sampler, require_alike
from fewshot.training.memory import keep_freed_memory


def judge(
    setting: Setting,
    spec: EpisodeSpec,
    extra: dict[str, Any],
    whole: Collection,
    asked: Collection,
    chosen: Choice | None = None,
    queries: Collection | None = None,
) -> Record:
    """The record of one learner on one data set, named as it was asked for.

    Args:
        setting: Learner, backbone and data by name.
        spec: Shape of the episodes.
        extra: ``episodes`` or ``half_width``, ``seed``, ``open_interval``, ``keep_scores``, ``allow_seen``.
        whole: All of the data.
        asked: The part that is asked.
        chosen: How the options were chosen, if they were.
        queries: The second collection, where queries come from one.

    Raises:
        FewShotError: As `fewshot.evaluation.evaluate.evaluate`, or if the items are none that the learner can take.
    """
    if chosen is not None:
        chosen.require_new(tuple(asked_classes(asked, queries)))  # told before anything is computed
    keep_freed_memory()
    with unfit_items_told(setting, whole):  # base classes are embedded here
        built = setting.build(whole)
    seen = check_base(setting, built, whole, asked, extra["allow_seen"], queries)
    known = {} if seen is None else {"pretraining_classes": seen}
    options = {name: extra[name] for name in ("open_interval", "keep_scores", "allow_seen")} | {
        "chosen": chosen,
        "queries": queries,
    }
    with progress_line() as report:
        try:
            ask_once(setting, built, asked, spec, queries)
            count = extra["episodes"] if extra["half_width"] is None else _count(built, asked, spec, extra, queries)
            record = evaluate(built, asked, spec, count, extra["seed"], report=report, **options)
        except NotFittedError as error:
            raise NotFittedError(f"{error} (here: --base train, or another split)") from None
    return setting.named(record.model_copy(update=known), whole).with_answers(record.load_answers())


def check_base(
    setting: Setting,
    learner: Any,
    whole: Collection,
    asked: Collection,
    allowed: bool,
    queries: Collection | None = None,
) -> SeenClasses | None:
    """What a learner with base classes has seen, those included; nothing where it has none.

    Raises:
        LeakageError: If they are asked, and that was not allowed.
    """
    base = setting.base_classes(whole)
    if base is None:
        return None
    everything = SimpleNamespace(classes_seen={*base.qualified_names(), *claims_of(learner).classes_seen})
    return check_overlap(everything, asked, allowed, queries)


def ask_once(
    setting: Setting, learner: Any, asked: Collection, spec: EpisodeSpec, queries: Collection | None = None
) -> None:
    """One episode in advance, so that items which learner or backbone cannot take are told in a sentence.

    Raises:
        EpisodeError: If the data have too few classes or items for an episode; names the options.
        ShapeError: If learner or backbone cannot take the items.
    """
    try:
        sampler = make_sampler(asked, spec, 0, queries)
    except EpisodeError as error:
        raise EpisodeError(f"{error} (here: --way, --shot, --query)") from None
    (batch,) = sampler.groups(0, 1)
    second = asked if queries is None else queries
    require_alike(asked, second)
    support = support_set(asked, batch, sampler.seeds(batch.index), pool=second)
    query = second.take(batch.query)
    with unfit_items_told(setting, asked), eval_mode(learner):
        score(learner, support, query)


@contextmanager
def unfit_items_told(setting: Setting, asked: Collection) -> Iterator[None]:
    """Turns complaints about shapes and types of items into a sentence with what to do.

    Raises:
        ShapeError: If learner or backbone cannot take the items.
    """
    try:
        yield
    except ShapeError as error:
        remedy = "" if setting.backbone else " (here: --backbone none gives it the items as they are)"
        raise ShapeError(f"{error}{remedy}") from None
    except RuntimeError as error:  # torch's own complaint about shapes and types
        complaint, one = str(error).partition("\n")[0], asked.take(np.zeros(1, int))
        raise ShapeError(
            f"learner '{setting.learner}' and backbone '{setting.backbone}' must take items {tuple(one.shape[1:])} "
            f"of type {one.dtype}, got: {complaint}"
        ) from error


def _count(
    learner: Any, asked: Collection, spec: EpisodeSpec, extra: dict[str, Any], queries: Collection | None
) -> int:
    """Episodes that a half width needs, by the spread of a pilot, which are the first of them."""
    options = {"allow_seen": extra["allow_seen"], "queries": queries}
    pilot = evaluate(learner, asked, spec, PILOT_EPISODES, extra["seed"], **options)
    count = two_stage_count(pilot.accuracies, extra["half_width"], pilot.summary.level)
    note(f"a half width of {extra['half_width']:g} needs {count} episodes, by a pilot of {PILOT_EPISODES}")
    return count
