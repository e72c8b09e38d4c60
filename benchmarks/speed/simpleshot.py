"""Race: SimpleShot (CL2N) on 1,000 episodes, 5-way 15-query, features of 640 numbers.

Contestants: ``SimpleShot`` with the mean of base classes, all episodes in one call, and a loop over easyfsl's
``SimpleShot`` with ``feature_centering`` and ``feature_normalization=2``.

Equal means: easyfsl compares by cosine, which is the paper's distance to class means whose length is made 1; we do
that too in this race, and then all scores agree to 1e-4. With one shot such means have length 1 anyway.
"""

from dataclasses import dataclass
from typing import Any

import clouds
import peers
import race
import torch
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet
from fewshot.learners.metric.simpleshot import SimpleShot, unit_distances

EPISODES, TARGET, SAME = 1000, 15.0, 1e-4


@dataclass(frozen=True)
class Deviating(SimpleShot):
    """Ours with easyfsl's deviation: class means of length 1. Scores are cosines."""

    def adapt(self, support: SupportSet) -> Classifier:
        """Average, and give the averages length 1."""
        x = normalize(self._moved(support.x), dim=-1)
        means = normalize(
            torch.stack([x[(support.y == k)].view(len(x), -1, x.shape[-1]).sum(1) for k in range(support.n_way)], 1),
            dim=-1,
        )
        return lambda query: 1 - unit_distances(self._moved(query), means) / 2


def easyfsl_model(centre: Tensor) -> Any:
    """Its model on features."""
    from easyfsl.methods import SimpleShot as Peer

    return Peer(torch.nn.Identity(), feature_centering=centre, feature_normalization=2)


def heat(shot: int, rounds: int) -> race.Heat:
    """One number of shots."""
    support, query = clouds.episodes(EPISODES, shot)
    centre = query.flatten(0, 1).mean(0)  # stands for the mean of base classes
    learner = Deviating(centre=centre) if shot > 1 else SimpleShot(centre=centre)
    builders = {
        "fewshot": lambda: clouds.ours(learner, support, query),
        "easyfsl": lambda: clouds.easyfsls(lambda: easyfsl_model(centre), support, query),
    }

    def check(answers: dict[str, Tensor]) -> dict[str, float]:
        mine = answers["fewshot"] if shot > 1 else 1 + answers["fewshot"] / 2  # 2 - 2 cos is the squared distance
        return clouds.differing({**answers, "fewshot": mine}, SAME)

    name = f"{clouds.WAY}-way {shot}-shot {clouds.QUERY}-query"
    return race.run(name, race.present(builders), check, rounds, {"easyfsl": TARGET})


if __name__ == "__main__":
    settings, started = race.arguments(__doc__.splitlines()[0], rounds=9), race.machine()
    heats = [heat(shot, settings.rounds) for shot in (1, 5)]
    race.report("simpleshot", heats, settings, started, peers.notes())
