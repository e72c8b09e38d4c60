"""Zero-shot evaluation: unseen classes by themselves, and in competition with the seen ones.

Papers: Xian, Schiele and Akata, "Zero-Shot Learning - the Good, the Bad and the Ugly", CVPR 2017, section 4 (classes weigh
    equally; harmonic mean); Chao et al., "An Empirical Study and Analysis of Generalized Zero-Shot Learning for Object
    Recognition in the Wild", ECCV 2016 (calibrated stacking).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.seen_unseen import with_choosing
from fewshot.evaluation.choose import candidates
from fewshot.evaluation.class_scores import joint_answers, known_scores, learns, teach, zero_shot_counts
from fewshot.evaluation.describe import code_hash, cut_texts, describe_backbone, describe_learner, device_of, versions
from fewshot.evaluation.embedded import embedded
from fewshot.evaluation.guard import check_overlap
from fewshot.evaluation.parts import CALIBRATE, CHOOSE, TEST, Parts, require_apart, require_no_test
from fewshot.evaluation.required import require_collection, require_learner
from fewshot.plumbing.files import digest
from fewshot.plumbing.number_checks import finite_number, seed_number
from fewshot.records.record import DataInfo, Figure, MeanInfo, OpenSetInfo
from fewshot.records.summary import interval_fields
from fewshot.records.zero_shot import Counts, Generalised, ZeroShotRecord, figures_of
from fewshot.statistics.interval import check_level
from fewshot.statistics.open_set import auroc, fpr_at_tpr, resampled
from fewshot.statistics.per_class import ClassCounts, bootstrap, harmonic_mean
from fewshot.statistics.stacking import Curve, JointAnswers, curve

POINTS = 101  # of a curve that a record keeps


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
) -> ZeroShotRecord:
    """Accuracy on unseen classes by their descriptors, and, where there are held-out items of seen classes, U, S and H.

    For U, S and H all classes of ``parts.base`` compete with the unseen ones. S is the mean over those with held-out items.

    Args:
        learner: Anything with ``adapt`` that reads descriptors; one with ``with_base`` learns from ``parts.base`` first.
        data: Items, class descriptors and splits.
        parts: Which splits.
        gamma: What scores of seen classes lose; chosen on ``calibrate`` when left out.
        calibrate: Splits that choose it: validation classes, and held-out items of the classes that the learner saw;
            None leaves it at 0. Those that the data lack are cut from ``trainval``, see
            `fewshot.datasets.seen_unseen.with_choosing`.
        selection: How the learner's options were chosen, for the record.
        level: Of all intervals.
        seed: Of the bootstrap.

    Returns:
        A record; ``record.save(path)`` writes it.

    Raises:
        DataError: If the classes have no descriptors, or a split has no item.
        UnknownNameError: If there is no such split.
        LeakageError: If an unseen class is among those that the learner learned from, a seen one is not, an item is in two parts
            or both chooses γ and is judged, or the learner's answer to one item depends on others.
        FewShotError: If γ or the seed are no such numbers, or the learner is none.
    """
    started = time.perf_counter()
    require_learner(learner)
    require_collection(data)
    gamma, seed, level = None if gamma is None else finite_number("gamma", gamma), seed_number(seed), check_level(level)
    require_apart(data, parts)
    seen_before = check_overlap(learner, data.split(parts.unseen), allowed=False)
    head, features = embedded(learner, data)
    taught = teach(head, features, parts)
    unseen = zero_shot_counts(taught, features, parts)
    mixed = None
    if parts.seen:
        gamma, origin = (gamma, "given") if gamma is not None else choose_gamma(head, features, calibrate, parts)
        mixed = _generalised(joint_answers(taught, features, parts), data, gamma, origin)
    return ZeroShotRecord(
        learner=describe_learner(taught),
        backbone=describe_backbone(learner.backbone) if hasattr(learner, "backbone") else None,
        data=_info(data, parts.unseen),
        base=_info(data, parts.base) if learns(head, parts) else None,
        descriptors=_fingerprint(data.descriptors),
        unseen=_named(data, np.unique(data.labels[data.splits[parts.unseen]]), unseen),
        figures=_figures(unseen, mixed, level, seed),
        generalised=mixed,
        open_set=_open_set(taught, features, parts, level, seed) if parts.open else [],
        pretraining_classes=seen_before,
        selection=selection,
        notes=[*_notes(data, parts), *cut_texts(learner, data)],
        versions=versions(),
        code=code_hash(),
        device=device_of(learner),
        seconds=time.perf_counter() - started,
    )


def choose_options(
    make_learner: Callable[..., Any],
    grid: Mapping[str, Sequence[Any]],
    data: Collection,
    parts: Parts = CHOOSE,
    test: Parts = TEST,
) -> tuple[dict[str, Any], str]:
    """The options with the best zero-shot accuracy on validation classes, of equal ones the first; and a line for the record.

    Args:
        make_learner: Makes a learner of options.
        grid: Values of each option; every combination is a candidate.
        data: Items, class descriptors and splits.
        parts: Splits without any test class or item; those that the data lack are cut from ``trainval``.
        test: Splits that are judged later.

    Raises:
        LeakageError: If an item or an unseen class of the test would choose.
    """
    require_collection(data)
    data = with_choosing(data, parts.named().values(), test.base)
    require_no_test("options", data, parts, test)
    judged = []
    for options in candidates(grid):
        head, features = embedded(make_learner(**options), data)
        judged.append((zero_shot_counts(teach(head, features, parts), features, parts).mean, options))
    best = max(range(len(judged)), key=lambda k: (judged[k][0], -k))
    tried = ", ".join(f"{_text(options)} {100 * accuracy:.1f} %" for accuracy, options in judged)
    classes = len(np.unique(data.labels[data.splits[parts.unseen]]))
    line = f"{_text(judged[best][1])}: best of {len(judged)} on the {classes} classes of '{parts.unseen}' ({tried})"
    return judged[best][1], line


def choose_gamma(learner: Any, data: Collection, parts: Parts | None, test: Parts = TEST) -> tuple[float, str]:
    """The γ with the best harmonic mean on validation classes against held-out items of seen ones, and where it comes from.

    Args:
        learner: On features; it learns from ``parts.base`` here.
        data: Features, class descriptors and splits.
        parts: Splits without any test class or item; None for no stacking.
        test: Splits that are judged later.

    Raises:
        LeakageError: If an item or an unseen class of the test would choose.
    """
    if parts is None:
        return 0.0, "no stacking"
    data = with_choosing(data, parts.named().values(), test.base)
    require_no_test("gamma", data, parts, test)
    found = curve(joint_answers(teach(learner, data, parts), data, parts))
    best = float(np.max(harmonic_mean(found.unseen, found.seen)))
    return found.best_gamma(), f"best harmonic mean, {100 * best:.1f} %, of '{parts.unseen}' and '{parts.seen}'"


def _notes(data: Collection, parts: Parts) -> list[str]:
    """What a reader of S must know: which seen classes compete without being asked."""
    if not parts.seen:
        return []
    seen, asked = (len(np.unique(data.labels[data.rows_of(name)])) for name in (parts.base, parts.seen))
    if seen == asked:
        return []
    return [
        f"{seen - asked} of {seen} seen classes have no held-out item: they compete, and S is the mean over the others"
    ]


def _generalised(answers: JointAnswers, data: Collection, gamma: float, origin: str) -> Generalised:
    unseen, seen = answers.counts(gamma)
    plain, whole = answers.counts(0.0), curve(answers)
    return Generalised(
        gamma=gamma,
        gamma_from=origin,
        unseen=_named(data, np.unique(answers.classes[~answers.seen]), unseen),
        seen=_named(data, np.unique(answers.classes[answers.seen]), seen),
        area=whole.area,
        curve=_thinned(whole),
        plain=(plain[0].mean, plain[1].mean),
    )


def _open_set(learner: Any, data: Collection, parts: Parts, level: float, seed: int) -> list[OpenSetInfo]:
    def mean(figure: Callable[[Any, Any], float], known: np.ndarray, other: np.ndarray) -> MeanInfo:
        interval = resampled(figure, known, other, level=level, seed=seed)
        return MeanInfo(mean=interval.estimate, **interval_fields(interval))

    measures = known_scores(learner, data, parts)
    return [
        OpenSetInfo(known_by=name, auroc=mean(auroc, *both), fpr95=mean(fpr_at_tpr, *both))
        for name, both in measures.items()
    ]


def _thinned(whole: Curve) -> list[tuple[float, float]]:
    rows = np.unique(np.linspace(0, len(whole.gamma) - 1, POINTS).round().astype(int))
    return [(float(u), float(s)) for u, s in zip(whole.unseen[rows], whole.seen[rows], strict=True)]


def _figures(unseen: ClassCounts, mixed: Generalised | None, level: float, seed: int) -> list[Figure]:
    figures = []
    for new_classes in (False, True):
        own = bootstrap(unseen, new_classes=new_classes, level=level, seed=seed)
        figures += figures_of("zero-shot", own["unseen"])
        if mixed is not None:
            counts = mixed.unseen.counts, mixed.seen.counts
            both = bootstrap(*counts, new_classes=new_classes, level=level, seed=seed)
            figures += [figure for name, interval in both.items() for figure in figures_of(name, interval)]
    return figures


def _named(data: Collection, classes: np.ndarray, counts: ClassCounts) -> Counts:
    names = [data.class_names[c] for c in classes]
    return Counts.of(names, counts)


def _info(data: Collection, split: str) -> DataInfo:
    part = data.split(split)
    return DataInfo(name=data.name, hash=part.hash, split=split, classes=len(part.class_names), items=len(part))


def _fingerprint(descriptors: Any) -> str:
    texts = descriptors.dtype.kind in "TU"
    content = (
        [t.encode() for t in descriptors.ravel().tolist()] if texts else [np.ascontiguousarray(descriptors).tobytes()]
    )
    kind = "texts" if texts else f"{int(np.prod(descriptors.shape[1:]))} numbers"
    return f"{kind} of each class, sha256 {digest(content)[:16]}"


def _text(options: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in options.items()) or "no option"
