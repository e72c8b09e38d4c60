"""Race: maps of the rank of the rows against tables of columns by columns, or of rows by rows.

Contestants: CORAL on 4,096 features (W>D, DeCAF6) against roots of both covariances; JDA's ten rounds (C>A, SURF)
against ten generalised eigenproblems of rows by rows. Both sides are float64, with a 1-nearest neighbour.

Equal means: all answers are the same.
"""

import domain_pairs
import numpy as np
import race
import scipy.linalg
import torch

from fewshot.learners.adaptation.coral import CORAL
from fewshot.learners.adaptation.jda import JDA

CORAL_TARGET, JDA_TARGET, DIM, ROUNDS = 50.0, 3.0, 100, 10


def nearest(source: np.ndarray, y: np.ndarray, target: np.ndarray) -> np.ndarray:
    """1-nearest neighbour."""
    found: np.ndarray = y[((source**2).sum(1)[:, None] - 2 * source @ target.T).argmin(0)]
    return found


def root(rows: np.ndarray, exponent: float) -> np.ndarray:
    """A power of covariance + I, columns by columns."""
    values, axes = scipy.linalg.eigh(np.cov(rows.T) + np.eye(rows.shape[1]))
    power: np.ndarray = (axes * values**exponent) @ axes.T
    return power


def dense_coral(rows: domain_pairs.Pair) -> race.Contestant:
    """Algorithm 1 of the paper as it is written."""
    x, target, y = (each.numpy() for each in rows)
    return lambda: nearest(x @ root(x, -0.5) @ root(target, 0.5), y, target)


def dense_jda(rows: domain_pairs.Pair) -> race.Contestant:
    """Ten rounds, rows by rows."""
    x, target, y = (each.numpy() for each in rows)
    both, s = np.concatenate([x, target]), len(x)
    n = len(both)

    def answer() -> np.ndarray:
        k = both @ both.T
        centred = k - k.mean(0)
        top, guess = centred.T @ centred, None
        for _ in range(ROUNDS):
            gap = gaps(y, guess, s, n)
            bottom = k @ (gap / np.linalg.norm(gap)) @ k + np.eye(n)
            _, w = scipy.linalg.eigh(top, bottom, subset_by_index=[n - DIM, n - 1])
            z = k @ (w / np.linalg.norm(w, axis=0))
            z = z / np.linalg.norm(z, axis=1, keepdims=True)
            guess = nearest(z[:s], y, z[s:])
        return guess  # type: ignore[return-value]

    return answer


def gaps(y: np.ndarray, guess: np.ndarray | None, s: int, n: int) -> np.ndarray:
    """M of the paper: the marginal gap times the classes, and that of each class."""
    e = np.concatenate([np.full(s, 1 / s), np.full(n - s, -1 / (n - s))])
    found = 10 * np.outer(e, e)
    for c in range(10) if guess is not None else ():
        own = np.zeros(n)
        own[:s][y == c] = 1 / (y == c).sum()
        own[s:][guess == c] = -1 / max(1, (guess == c).sum())
        found += np.outer(own, own)
    return found


def unit(rows: domain_pairs.Pair) -> domain_pairs.Pair:
    """Rows of length 1."""
    return (*(torch.nn.functional.normalize(each, dim=-1) for each in rows[:2]), rows[2])  # type: ignore[return-value]


def heats(rounds: int) -> list[race.Heat]:
    """Both of them."""
    wide, long = domain_pairs.pair("webcam", "dslr", "decaf6"), unit(domain_pairs.pair("caltech", "amazon"))
    check = lambda answers: domain_pairs.same_answers(answers, 1.0)  # noqa: E731
    coral = {race.OURS: domain_pairs.ours(CORAL(), wide), "columns by columns": dense_coral(wide)}
    jda = {race.OURS: domain_pairs.ours(JDA(DIM), long), "rows by rows": dense_jda(long)}
    return [
        race.run("coral W>D, 4,096 columns", coral, check, rounds, {"columns by columns": CORAL_TARGET}),
        race.run("jda C>A, 10 rounds", jda, check, rounds, {"rows by rows": JDA_TARGET}),
    ]


if __name__ == "__main__":
    settings, started = race.arguments(__doc__.splitlines()[0], rounds=3), race.machine()
    race.report("low_rank", heats(settings.rounds), settings, started, [])
