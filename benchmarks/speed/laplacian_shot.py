"""Race: LaplacianShot on 128 episodes, 5-way 15-query, features of 640 numbers.

Contestants: ``LaplacianShot`` with two neighbours and easyfsl's prototypes, all episodes in one call, and a loop over
easyfsl's ``LaplacianShot`` with ``knn=3``, which means two, and ``feature_normalization=2``. easyfsl stops an episode
when its energy stands still; we take all 20 steps.

Equal means: probabilities agree to 0.02, which is what stopping early leaves, and answers too, save for near ties.
"""

from typing import Any

import clouds
import peers
import race
import torch
from torch import Tensor

from fewshot.contract import SupportSet
from fewshot.functional import rectifying_weights
from fewshot.learners.transductive.gram import class_means, cosines, moved, to_the_support
from fewshot.learners.transductive.laplacian_shot import LaplacianShot

EPISODES, TARGET, SAME, STRENGTH = 128, 6.0, 0.02, 0.7


class Deviating(LaplacianShot):
    """Ours with easyfsl's prototypes, of queries that stay where they are."""

    def _prototypes(self, k: Tensor, support: SupportSet, query: Tensor) -> tuple[Tensor, Tensor]:
        of_query, by = to_the_support(support.y.shape[-1], query)
        shifted = moved(k, of_query, by)
        weights = rectifying_weights(cosines(shifted, class_means(support.y, support.n_way, k)), support.y)
        return k, weights + (weights @ of_query)[..., None] * by


def easyfsl_model() -> Any:
    """Its model on features."""
    from easyfsl.methods import LaplacianShot as Peer

    return Peer(torch.nn.Identity(), knn=3, lambda_regularization=STRENGTH, feature_normalization=2)


def heat(shot: int, rounds: int) -> race.Heat:
    """One number of shots."""
    support, query = clouds.episodes(EPISODES, shot)
    builders = {
        "fewshot": lambda: clouds.ours(Deviating(neighbours=2, strength=STRENGTH), support, query),
        "easyfsl": lambda: clouds.easyfsls(easyfsl_model, support, query),
    }

    def check(answers: dict[str, Tensor]) -> dict[str, float]:
        return clouds.differing({**answers, "fewshot": answers["fewshot"].exp()}, SAME)

    name = f"{clouds.WAY}-way {shot}-shot {clouds.QUERY}-query"
    return race.run(name, race.present(builders), check, rounds, {"easyfsl": TARGET})


if __name__ == "__main__":
    settings, started = race.arguments(__doc__.splitlines()[0], rounds=9), race.machine()
    heats = [heat(shot, settings.rounds) for shot in (1, 5)]
    race.report("laplacian_shot", heats, settings, started, peers.notes())
