"""Guards: claims of a learner that the evaluator checks instead of trusting."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fewshot.contract import Learner, features_of
from fewshot.datasets.collection import Collection
from fewshot.episodes import IndexEpisodes
from fewshot.errors import LeakageError
from fewshot.evaluation.answers import OWN, adapted, support_set

TOLERANCE = 1e-4  # of the largest score: kernels of another batch size round differently, by about 1e-6
QUERIES, TOGETHER = 5, 50  # queried alone, and among how many others
INDUCTIVE = (
    "an inductive learner's answer to a query must not change with its neighbours",
    "use running batch-norm statistics, or declare transductive = True",
)
EPISODES = (
    "an episode must score the same alone as in a batch",
    "draw random numbers from support[k].generator() alone, and decorate an adapt that is written for one episode "
    "with @per_episode",
)


def check_answers(
    learner: Learner, collection: Collection, episodes: IndexEpisodes, seeds: Any, queries: Collection, inductive: bool
) -> None:
    """Refuse a learner whose answer to an episode changes with the others of its batch, or to a query with its neighbours.

    The last episode is evaluated in the batch and alone. Where the learner claims to be inductive, some of the
    first queries of each episode are answered together and alone, too.

    Args:
        learner: Any.
        collection: What the learner takes: features where its backbone is checked by `check_items_alone`.
        episodes: A few episodes.
        seeds: Their seeds.
        queries: The collection of the queries.
        inductive: Whether the learner claims not to be transductive; else all queries of an episode stay together.

    Raises:
        LeakageError: If scores, or what the classifier says of how known a query is, differ by more than rounding.
    """
    if not inductive and len(episodes) == 1:
        return
    support = support_set(collection, episodes, seeds, pool=queries)
    query = queries.take(episodes.query[:, :TOGETHER] if inductive else episodes.query)
    ask = adapted(learner, support)
    together = _said(ask(query))
    if inductive:
        _require_same(INDUCTIVE, {name: said[:, :QUERIES] for name, said in together.items()}, _one_by_one(ask, query))
    if len(episodes) > 1:
        alone = _said(adapted(learner, support[-1:])(query[-1:]))
        _require_same(EPISODES, {name: said[-1:] for name, said in together.items()}, alone)


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
        together = features_of(backbone, items)[:QUERIES]
        alone = [features_of(backbone, items[i : i + 1]) for i in range(len(together))]
    _require_same(INDUCTIVE, {"features": together}, {"features": torch.cat(alone)})


def _said(answer: tuple[Tensor, dict[str, Tensor]]) -> dict[str, Tensor]:
    """Scores, and how known the classifier itself says that each query is, where it does."""
    scores, measures = answer
    return {"scores": scores, **{name: known for name, known in measures.items() if name == OWN}}


def _one_by_one(ask: Callable[[Any], tuple[Tensor, dict[str, Tensor]]], query: Any) -> dict[str, Tensor]:
    """Scores of the first queries, each alone."""
    alone = [_said(ask(query[:, i : i + 1])) for i in range(min(QUERIES, query.shape[1]))]
    return {name: torch.cat([one[name] for one in alone], 1) for name in alone[0]}


def _require_same(claim: tuple[str, str], together: dict[str, Tensor], alone: dict[str, Tensor]) -> None:
    for name, there in together.items():
        said, by_itself = there.cpu(), alone[name].cpu()
        differences = (said - by_itself)[said != by_itself].abs()  # an infinite score equals itself
        scale = max(float(said[said.isfinite()].abs().amax()) if said.isfinite().any() else 0.0, 1e-12)
        change = float(differences.max()) if differences.numel() else 0.0
        if not change <= TOLERANCE * scale:
            what, (must, remedy) = "known(query)" if name == OWN else name, claim
            raise LeakageError(f"{must}, got {what} that change by {change:.3g} ({what} reach {scale:.3g}); {remedy}")


def is_fixed(backbone: Any) -> bool:
    """Whether an embedding depends on its item alone, so that each item needs to be embedded only once."""
    return not (isinstance(backbone, nn.Module) and any(_uses_batch(module) for module in backbone.modules()))


def _uses_batch(module: nn.Module) -> bool:
    """Batch norm without running statistics uses those of the batch, also in eval mode."""
    statistics = getattr(module, "running_mean", Tensor())
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and statistics is None
