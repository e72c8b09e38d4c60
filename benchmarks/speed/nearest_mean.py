"""Race: accuracy of the nearest class mean over 1,000 episodes, on 12,000 features of 640 numbers (20 classes x 600).

Contestants, each end to end from features and labels in memory:
``evaluate(NearestMean(), Collection, EpisodeSpec)`` (which also makes
intervals, hashes the data and checks the learner); easyfsl's ``evaluate`` with
its ``PrototypicalNetworks``, ``FeaturesDataset`` and ``TaskSampler``; and a bare
loop over learn2learn's tasks with its ``PrototypicalClassifier``. The peers'
datasets and tables of class members are built before the clock starts.

Equal means: accuracies differ by no more than sampling allows (each library
draws its own episodes), and on the same episodes by no answer at all.
"""

from typing import Any

import numpy as np
import peers
import race
import torch
from torch import Tensor

from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSampler, EpisodeSpec
from fewshot.evaluation.evaluate import evaluate
from fewshot.learners.metric.nearest_mean import NearestMean

CLASSES, EACH, DIM, EPISODES, WAY, QUERY = 20, 600, 640, 1000, 5, 15
TARGETS = {"easyfsl": 20.0, "learn2learn": 12.0}
SAME = 100  # episodes on which all contestants answer the same queries
SPREAD = 0.13  # of a class mean, in units of the noise: an accuracy of about 0.7 with one shot


def features() -> tuple[Tensor, np.ndarray]:
    """Normal clouds around normal class means: float32 features and labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(CLASSES).repeat(EACH)
    means = SPREAD * rng.standard_normal((CLASSES, DIM))
    x = means[labels] + rng.standard_normal((len(labels), DIM))
    return torch.from_numpy(x.astype(np.float32)), labels


def fewshot_evaluate(x: Tensor, labels: np.ndarray, shot: int) -> race.Contestant:
    """Our evaluator; the answer is its record."""
    spec = EpisodeSpec(way=WAY, shot=shot, query=QUERY)
    return lambda: evaluate(NearestMean(), Collection.from_arrays(x, labels), spec, episodes=EPISODES, seed=0)


def easyfsl_evaluate(x: Tensor, labels: np.ndarray, shot: int) -> race.Contestant:
    """The evaluator of easyfsl, as its own benchmark script puts it together; the answer is the accuracy."""
    from easyfsl.datasets import FeaturesDataset
    from easyfsl.utils import evaluate as easyfsl_evaluate
    from torch.utils.data import DataLoader

    dataset = FeaturesDataset(labels.tolist(), x, [str(k) for k in range(CLASSES)])
    sampler = peers.easyfsl_task_sampler(dataset, WAY, shot, QUERY, EPISODES)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=sampler.episodic_collate_fn)
    return lambda: easyfsl_evaluate(easyfsl_model(), loader, device="cpu", use_tqdm=False)


def easyfsl_model() -> Any:
    """Nearest class mean on features."""
    from easyfsl.methods import PrototypicalNetworks

    return PrototypicalNetworks(torch.nn.Identity())


def learn2learn_loop(x: Tensor, labels: np.ndarray, shot: int) -> race.Contestant:
    """What a user of learn2learn writes; its fused sampler gives items class by class."""
    from learn2learn.nn import PrototypicalClassifier

    tasks = peers.learn2learn_tasks(peers.Labelled(x, labels.tolist()), WAY, shot + QUERY, load=True)
    classifier = PrototypicalClassifier()

    @torch.no_grad()
    def loop() -> float:
        correct = 0
        for _ in range(EPISODES):
            items, y = tasks.sample()
            items, y = items.reshape(WAY, shot + QUERY, DIM), y.reshape(WAY, shot + QUERY)
            classifier.fit_(items[:, :shot].flatten(0, 1), y[:, :shot].flatten())
            predicted = classifier(items[:, shot:].flatten(0, 1)).argmax(1)
            correct += (predicted == y[:, shot:].flatten()).sum().item()
        return correct / (EPISODES * WAY * QUERY)

    return loop


def easyfsl_correct(support: Tensor, support_y: Tensor, query: Tensor, query_y: Tensor) -> int:
    """Correct answers of easyfsl to one given episode."""
    from easyfsl.utils import evaluate_on_one_task

    return evaluate_on_one_task(easyfsl_model(), support, support_y, query, query_y)[0]


def learn2learn_correct(support: Tensor, support_y: Tensor, query: Tensor, query_y: Tensor) -> int:
    """Correct answers of learn2learn to one given episode."""
    from learn2learn.nn import PrototypicalClassifier

    return int((PrototypicalClassifier(support, support_y)(query).argmax(1) == query_y).sum())


ON_ONE = {"easyfsl": easyfsl_correct, "learn2learn": learn2learn_correct}


def check(answers: dict[str, Any], x: Tensor, labels: np.ndarray, shot: int) -> dict[str, Any]:
    """Raise unless accuracies agree within sampling error, and exactly on the same episodes."""
    record = answers["fewshot"]
    accuracies = {name: record.accuracy if name == "fewshot" else answer for name, answer in answers.items()}
    allowed = 5 * np.std(record.accuracies, ddof=1) * np.sqrt(2 / EPISODES)
    sampler = EpisodeSampler(labels, EpisodeSpec(way=WAY, shot=shot, query=QUERY), seed=0)
    for name in accuracies.keys() - {"fewshot"}:
        if not abs(accuracies[name] - record.accuracy) < allowed:
            raise AssertionError(f"accuracies must agree within {allowed:.4f}, got {accuracies}")
        for e in (sampler[i] for i in range(SAME)):
            arrays = map(torch.from_numpy, (e.support, e.support_y, e.query, e.query_y))
            support, support_y, query, query_y = arrays
            correct = ON_ONE[name](x[support], support_y, x[query], query_y)
            if correct != record.correct[int(e.index)]:
                raise AssertionError(
                    f"{name} has {correct} right in episode {e.index}, we {record.correct[int(e.index)]}"
                )
    return {"accuracies": accuracies, "allowed_difference": float(allowed), "same_episodes_compared": SAME}


def heat(shot: int, rounds: int) -> race.Heat:
    """One number of shots."""
    x, labels = features()
    builders = {
        "fewshot": lambda: fewshot_evaluate(x, labels, shot),
        "easyfsl": lambda: easyfsl_evaluate(x, labels, shot),
        "learn2learn": lambda: learn2learn_loop(x, labels, shot),
    }
    name = f"{WAY}-way {shot}-shot {QUERY}-query"
    return race.run(name, race.present(builders), lambda answers: check(answers, x, labels, shot), rounds, TARGETS)


if __name__ == "__main__":
    settings, started = race.arguments(__doc__.splitlines()[0]), race.machine()
    heats = [heat(shot, settings.rounds) for shot in (1, 5)]
    race.report("nearest_mean", heats, settings, started, peers.notes())
