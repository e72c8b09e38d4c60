"""Race: multinomial logistic regression on 256 episodes, 5-way 15-query, features of 640 numbers, from arrays to scores.

Contestants: ``LogisticRegression().adapt(support)(query)``, all episodes in a few
calls, and a loop over scikit-learn's ``LogisticRegression(C=1.0)`` with its
default solver and tolerance, ``fit`` and ``predict_log_proba``. Both get the
same float32 arrays.

Equal means: our probabilities are scikit-learn's, to 1e-4, where it is driven
to convergence in float64. Left at its default tolerance, as it is timed, it
stops early: its probabilities then differ by the number in the result file,
and every answer must be ours unless the two classes are closer than that.
"""

from typing import Any

import clouds
import numpy as np
import race
import torch
from torch import Tensor

from fewshot.contract import SupportSet
from fewshot.learners.linear.logistic_regression import LogisticRegression

EPISODES = 256
TARGETS = {1: {"scikit-learn": 80.0}, 5: {"scikit-learn": 20.0}}
EXACT, EARLY, SAME = 1e-4, 0.1, 50  # allowed differences of probabilities, and episodes that are solved exactly


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
    double = SupportSet(support.x.double(), support.y, clouds.WAY)
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
    support, query = clouds.episodes(EPISODES, shot)
    builders = {
        "fewshot": lambda: clouds.ours(LogisticRegression(), support, query),
        "scikit-learn": lambda: scikit_learns(support, query),
    }
    name = f"{clouds.WAY}-way {shot}-shot {clouds.QUERY}-query"
    return race.run(name, race.present(builders), lambda a: check(a, support, query), rounds, TARGETS[shot])


if __name__ == "__main__":
    settings, started = race.arguments(__doc__.splitlines()[0], rounds=9), race.machine()
    race.report("logistic_regression", [heat(shot, settings.rounds) for shot in (1, 5)], settings, started, [])
