"""Zero-shot evaluation in short: a learner, data and splits; and options that validation classes choose."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.seen_unseen import with_choosing
from fewshot.evaluation.answered import How
from fewshot.evaluation.choose import candidates
from fewshot.evaluation.class_scores import teach, zero_shot_counts
from fewshot.evaluation.embedded import embedded
from fewshot.evaluation.of_task import evaluate_task
from fewshot.plumbing.device import Device, placed
from fewshot.plumbing.number_checks import finite_number
from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.tasks.generalised import Generalised
from fewshot.tasks.parts import CALIBRATE, CHOOSE, TEST, Parts, require_no_test
from fewshot.tasks.required import require_collection
from fewshot.tasks.zero_shot import ZeroShot


def evaluate_zero_shot(
    learner: Any,
    data: Collection,
    parts: Parts = TEST,
    *,
    gamma: float | None = None,
    calibrate: Parts | None = CALIBRATE,
    selection: str | None = None,
    level: float = 0.95,
    seed: int = 0,
    device: Device | None = None,
) -> ZeroShotRecord:
    """Accuracy on unseen classes by their descriptors, and, where there are held-out items of seen classes, U, S and H.

    A short form of `fewshot.evaluate` with the task `fewshot.Generalised`, or `fewshot.ZeroShot` where ``parts.seen`` is
    empty.

    Args:
        learner: Anything with ``adapt`` that reads descriptors; one with ``with_base`` learns from ``parts.base`` first.
        data: Items, class descriptors and splits.
        parts: Which splits.
        gamma: What scores of seen classes lose; chosen on ``calibrate`` when left out.
        calibrate: Splits that choose it; None leaves it at 0.
        selection: How the learner's options were chosen, for the record.
        level: Of all intervals.
        seed: Of the bootstrap.
        device: Where to compute, as `fewshot.evaluate` takes it.

    Returns:
        A record; ``record.save(path)`` writes it.

    Raises:
        DataError: If the classes have no descriptors, or a split has no item.
        UnknownNameError: If there is no such split.
        LeakageError: If an unseen class is among those that the learner learned from, a seen one is not, an item is in two parts
            or both chooses γ and is judged, or the learner's answer to one item depends on others.
        FewShotError: If γ or the seed are no such numbers, or the learner is none.
    """
    gamma = None if gamma is None else finite_number("gamma", gamma)
    task = Generalised(data, parts, gamma, calibrate, seed) if parts.seen else ZeroShot(data, parts, seed)
    record: ZeroShotRecord = evaluate_task(learner, task, How(device=device), level=level, selection=selection)
    return record


def choose_options(
    make_learner: Callable[..., Any],
    grid: Mapping[str, Sequence[Any]],
    data: Collection,
    parts: Parts = CHOOSE,
    test: Parts = TEST,
    device: Device | None = None,
) -> tuple[dict[str, Any], str]:
    """The options with the best zero-shot accuracy on validation classes, of equal ones the first; and a line for the record.

    Args:
        make_learner: Makes a learner of options.
        grid: Values of each option; every combination is a candidate.
        data: Items, class descriptors and splits.
        parts: Splits without any test class or item; those that the data lack are cut from ``trainval``.
        test: Splits that are judged later.
        device: Where to compute; where each learner is, when left out.

    Raises:
        LeakageError: If an item or an unseen class of the test would choose.
    """
    require_collection(data)
    data = with_choosing(data, parts.named().values(), test.base)
    require_no_test("options", data, parts, test)
    judged = []
    for options in candidates(grid):
        learner, place = placed(make_learner(**options), device)
        head, features = embedded(learner, data.on(place))
        judged.append((zero_shot_counts(teach(head, features, parts), features, parts).mean, options))
    best = max(range(len(judged)), key=lambda k: (judged[k][0], -k))
    tried = ", ".join(f"{_text(options)} {100 * accuracy:.1f} %" for accuracy, options in judged)
    classes = len(np.unique(data.labels[data.splits[parts.unseen]]))
    line = f"{_text(judged[best][1])}: best of {len(judged)} on the {classes} classes of '{parts.unseen}' ({tried})"
    return judged[best][1], line


def _text(options: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in options.items()) or "no option"
