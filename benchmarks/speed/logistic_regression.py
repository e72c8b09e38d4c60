"""Race: multinomial logistic regression on 256 episodes, 5-way 15-query, features of 640 numbers, from arrays to scores.

Contestants: ``LogisticRegression().adapt(support)(query)``, all episodes in one
call, and a loop over scikit-learn's ``LogisticRegression(C=1.0)`` with its
default solver and tolerance, ``fit`` and ``predict_log_proba``. Both get the
same float32 arrays.

Equal means: our probabilities are scikit-learn's, to 1e-4, where it is driven
to convergence in float64. Left at its default tolerance, as it is timed, it
stops early: its probabilities then differ by the number in the result file,
and every answer must be ours unless the two classes are closer than that.
"""

from typing import Any

import numpy as np
import race
import torch
from torch import Tensor

from fewshot.contract import SupportSet
from fewshot.learners.logistic_regression import LogisticRegression

EPISODES, WAY, QUERY, DIM = 256, 5, 15, 640
SPREAD = 0.13  # of a class mean, in units of the noise
TARGETS = {1: {"scikit-learn": 80.0}, 5: {"scikit-learn": 20.0}}
EXACT, EARLY, SAME = 1e-4, 0.1, 50  # allowed differences of probabilities, and episodes that are solved exactly


def episodes(shot: int) -> tuple[SupportSet, Tensor]:
    """Normal clouds around normal class means, in random order; float32."""
    rng = np.random.default_rng(0)
    means = SPREAD * rng.standard_normal((EPISODES, WAY, DIM))

    def items(each: int) -> tuple[Tensor, Tensor]:
        y = rng.permuted(np.tile(np.repeat(np.arange(WAY), each), (EPISODES, 1)), axis=1)
        x = np.take_along_axis(means, y[..., None], 1) + rng.standard_normal((*y.shape, DIM))
        return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y)

    (x, y), (query, _) = items(shot), items(QUERY)
    return SupportSet(x, y, WAY), query


def ours(support: SupportSet, query: Tensor) -> race.Contestant:
    """Log-probabilities of all episodes."""

    @torch.no_grad()
    def answer() -> Tensor:
        return LogisticRegression().adapt(support)(query)

    return answer


def scikit_learns(support: SupportSet, query: Tensor, count: int | None = None, **options: Any) -> race.Contestant:
    """Log-probabilities of the first ``count`` episodes, or all, one after another."""
    from sklearn.linear_model import LogisticRegression as Peer

    x, y, q = support.x[:count].numpy(), support.y[:count].numpy(), query[:count].numpy()

    def one(k: int) -> np.ndarray:
        return Peer(C=1.0, **options).fit(x[k], y[k]).predict_log_proba(q[k])

    return lambda: torch.from_numpy(np.stack([one(k) for k in range(len(x))]))


def check(answers: dict[str, Tensor], support: SupportSet, query: Tensor) -> dict[str, Any]:
    """Raise unless answers are equal as the top of this file says."""
    mine, theirs = (answers[name].double().exp() for name in ("fewshot", "scikit-learn"))
    double = SupportSet(support.x.double(), support.y, WAY)
    exact = scikit_learns(double, query.double(), SAME, tol=1e-9, max_iter=1000)().exp()
    gap, early = float((mine[:SAME] - exact).abs().max()), float((mine - theirs).abs().max())
    if gap > EXACT or early > EARLY:
        raise AssertionError(f"probabilities must agree within {EXACT} and {EARLY}, got {gap:.1e} and {early:.1e}")
    top = mine.topk(2).values
    differ = mine.argmax(-1) != theirs.argmax(-1)
    if bool((differ & (top[..., 0] - top[..., 1] > 2 * early)).any()):
        raise AssertionError("an answer differs from scikit-learn's and is no near tie")
    return {
        "largest_difference_of_probabilities": gap,
        "largest_difference_at_scikit_learns_default_tolerance": early,
        "different_answers_among_near_ties": float(differ.double().mean()),
    }


def heat(shot: int, rounds: int) -> race.Heat:
    """One number of shots."""
    support, query = episodes(shot)
    builders = {"fewshot": lambda: ours(support, query), "scikit-learn": lambda: scikit_learns(support, query)}
    name = f"{WAY}-way {shot}-shot {QUERY}-query"
    return race.run(name, race.present(builders), lambda a: check(a, support, query), rounds, TARGETS[shot])


if __name__ == "__main__":
    settings, started = race.arguments(__doc__.splitlines()[0], rounds=9), race.machine()
    race.report("logistic_regression", [heat(shot, settings.rounds) for shot in (1, 5)], settings, started, [])
