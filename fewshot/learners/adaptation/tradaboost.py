"""TrAdaBoost: boosting that trusts a few labelled rows of the target more each round, and the source less where it errs.

Paper: Dai, Yang, Xue and Yu, "Boosting for Transfer Learning", ICML 2007, algorithm 1.
Code: none of the authors' is at hand. Intended differences: more than two classes, by a vote (with two it is the paper's
    threshold); an error of ½ or more counts as just under it, where the paper has no answer; an error of 0 counts as half
    a row of the target, so that a vote stays finite; a base learner answers with classes, not with shares.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.functional import class_membership
from fewshot.learners.adaptation.importance import fit_weighted, keep_weighted_head
from fewshot.learners.adaptation.labelled import on_labelled_domains
from fewshot.plumbing.number_checks import keep_whole_numbers

MOST_ERROR = 0.499
"""Weighted error on the target that a round counts with at most: a vote for its answers, and never against them."""


@dataclass(frozen=True)
class TrAdaBoost:
    """Scores are shares of the votes of the later half of the rounds, each with weight ``log 1 / β_t``.

    Round t fits a weighted head to both domains. With its weighted error ε_t on the target, ``β_t = ε_t / (1 - ε_t)``,
    a row of the target that it misses gets ``1 / β_t`` times its weight, and one of the source that it misses β times,
    ``β = 1 / (1 + √(2 ln n / N))`` with n rows of the source and N rounds.

    Attributes:
        rounds: N.
        head: Base learner: ``"svm"``, ``"logistic"`` or ``"ridge"``.
        C: Weight of the data against its penalty.

    Raises:
        FewShotError: If an option is not known, or a number out of range.
    """

    rounds: int = 20
    head: str = "svm"
    C: float = 1.0
    scores = "rank"

    def __post_init__(self) -> None:
        keep_whole_numbers(self, rounds=1)
        keep_weighted_head(self)

    @on_labelled_domains
    def adapt(self, source: SupportSet, target: SupportSet) -> Classifier:
        """Boost.

        Raises:
            EpisodeError: If a class loses all weight.
        """
        x, y = torch.cat([source.x, target.x]), torch.cat([source.y, target.y])
        weights, down = torch.full((len(x),), 1 / len(x)).to(x), source_factor(len(source.x), self.rounds)
        voters: list[tuple[Classifier, float]] = []
        for _ in range(self.rounds):
            classify = fit_weighted(self.head, x, y, source.n_way, weights, self.C)
            wrong = classify(x).argmax(-1) != y
            beta = target_factor(weights[len(source.x) :], wrong[len(source.x) :])
            weights = reweighted(weights, wrong, len(source.x), down, beta)
            voters.append((classify, -math.log(beta)))
        return _vote(voters[math.ceil(self.rounds / 2) - 1 :], source.n_way)


def source_factor(count: int, rounds: int) -> float:
    """β of the source: ``1 / (1 + √(2 ln n / N))``; 1 for none or one row."""
    return 1 / (1 + math.sqrt(2 * math.log(max(count, 1)) / rounds))


def target_factor(weights: Float[Tensor, " m"], wrong: Tensor) -> float:
    """β_t = ε / (1 - ε) of the weighted error on the target, which is kept between half a row and just under ½."""
    error = float(weights @ wrong.to(weights) / weights.sum())
    error = min(max(error, 1 / (2 * len(weights))), MOST_ERROR)
    return error / (1 - error)


def reweighted(
    weights: Float[Tensor, " n"], wrong: Tensor, source: int, down: float, beta: float
) -> Float[Tensor, " n"]:
    """Weights of the next round, with sum 1: of rows that were missed, source down by β, target up by 1 / β_t."""
    factor = torch.ones_like(weights)
    factor[:source][wrong[:source]] = down
    factor[source:][wrong[source:]] = 1 / beta
    return weights * factor / (weights * factor).sum()


def _vote(voters: list[tuple[Classifier, float]], n_way: int) -> Classifier:
    total = sum(weight for _, weight in voters)

    def scores(query: Float[Tensor, "q dim"]) -> Float[Tensor, "q n_way"]:
        votes: list[Integer[Tensor, " q"]] = [classify(query).argmax(-1) for classify, _ in voters]
        return sum(  # type: ignore[return-value]
            weight / total * class_membership(answer, n_way, query.dtype)
            for answer, (_, weight) in zip(votes, voters, strict=True)
        )

    return scores
