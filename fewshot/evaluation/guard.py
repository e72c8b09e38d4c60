"""Guards: claims of a learner that the evaluator checks instead of trusting."""

from typing import Any

import torch
from torch import Tensor, nn

from fewshot.contract import Learner, prepare
from fewshot.datasets.collection import Collection
from fewshot.episodes import IndexEpisodes
from fewshot.errors import LeakageError
from fewshot.evaluation.answers import OWN, adapted, support_set
from fewshot.files import digest
from fewshot.results.record import SeenClasses

TOLERANCE = 1e-4  # of the largest score: kernels of another batch size round differently, by about 1e-6
QUERIES, TOGETHER = 5, 50  # that are asked alone, beside how many others


def check_inductive(
    learner: Learner, collection: Collection, episodes: IndexEpisodes, seeds: Any, queries: Collection
) -> None:
    """Refuse an inductive learner whose answer to one query changes with its neighbours.

    Some of the first queries of each episode are asked, together and alone.

    Args:
        learner: Claims not to be transductive.
        collection: What the learner takes: features where its backbone is checked by `check_items_alone`.
        episodes: A few episodes.
        seeds: Their seeds.
        queries: The collection of the queries.

    Raises:
        LeakageError: If scores, or what the classifier says of how known a query is, differ by more than rounding.
    """
    support = support_set(collection, episodes, seeds)
    query = queries.take(episodes.query[:, :TOGETHER])
    ask = adapted(learner, support)
    together = _said(ask(query))
    alone = [_said(ask(query[:, i : i + 1])) for i in range(min(QUERIES, episodes.query.shape[1]))]
    for name, values in together.items():
        _require_same(name, values[:, :QUERIES], torch.cat([one[name] for one in alone], 1))


def check_items_alone(backbone: Any, queries: Collection, episodes: IndexEpisodes) -> None:
    """Refuse a backbone whose features of one item change with the other items of a call.

    Args:
        backbone: In eval mode.
        queries: Raw items.
        episodes: Those whose first queries are embedded, together and alone.

    Raises:
        LeakageError: If features differ by more than rounding.
    """
    items = queries.take(episodes.query[:, :TOGETHER].ravel())
    with torch.no_grad():
        together = backbone(prepare(backbone, items))[:QUERIES]
        alone = [backbone(prepare(backbone, items[i : i + 1])) for i in range(len(together))]
    _require_same("features", together, torch.cat(alone))


def _said(answer: tuple[Tensor, dict[str, Tensor]]) -> dict[str, Tensor]:
    """Scores, and how known the classifier itself says that each query is, where it does."""
    scores, measures = answer
    return {"scores": scores, **{name: known for name, known in measures.items() if name == OWN}}


def _require_same(name: str, together: Tensor, alone: Tensor) -> None:
    change = float((together - alone).abs().max()) if together.numel() else 0.0
    scale = max(float(together.abs().max()) if together.numel() else 0.0, 1e-12)
    if not change <= TOLERANCE * scale:
        what = "known(query)" if name == OWN else name
        raise LeakageError(
            f"an inductive learner's answer to a query must not change with its neighbours, got {what} that change by "
            f"{change:.3g} ({what} reach {scale:.3g}); use running batch-norm statistics, or declare transductive = True"
        )


def classes_seen(learner: Any) -> set[str]:
    """Qualified names of the classes that a learner, or any part of it, was trained on."""
    parts = list(learner.modules()) if isinstance(learner, nn.Module) else [learner]
    heads = [part for name in ("backbone", "head") if (part := getattr(learner, name, None)) is not None]
    return {name for part in (*parts, *heads) for name in getattr(part, "classes_seen", ())}


def check_overlap(learner: Any, collection: Collection, allowed: bool) -> SeenClasses | None:
    """What the learner saw in training, refused where it overlaps the classes asked here.

    Args:
        learner: Trained, or not.
        collection: Classes of the evaluation.
        allowed: Let an overlap pass; the record then says so.

    Raises:
        LeakageError: If classes overlap and that was not allowed.
    """
    seen = classes_seen(learner)
    if not seen:
        return None
    overlap = sorted(seen & set(collection.qualified_names()))
    if overlap and not allowed:
        raise LeakageError(
            f"test classes must be new to the learner, got {len(overlap)} of {len(collection.class_names)} that it was "
            f"trained on, such as '{overlap[0]}'; choose another split, or allow it with allow_seen=True and say so"
        )
    names = sorted(seen)
    return SeenClasses(count=len(names), hash=digest(n.encode() for n in names)[:16], overlap=len(overlap))


def is_fixed(backbone: Any) -> bool:
    """Whether an embedding depends on its item alone, so that each item needs to be embedded only once."""
    return not (isinstance(backbone, nn.Module) and any(_uses_batch(module) for module in backbone.modules()))


def _uses_batch(module: nn.Module) -> bool:
    """Batch norm without running statistics uses those of the batch, also in eval mode."""
    statistics = getattr(module, "running_mean", Tensor())
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and statistics is None
