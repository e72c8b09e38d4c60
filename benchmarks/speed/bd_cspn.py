"""Race: BD-CSPN on 256 episodes, 5-way 15-query, features of 640 numbers.

Contestants: ``BDCSPN(scale=1.0, shift="prototypes")``, all episodes in one call, and a loop over easyfsl's ``BDCSPN``
with ``feature_normalization=2``, which leaves out the paper's factor 10 and answers for queries where they are; so do
we in this race.

Equal means: all cosines agree to 1e-4.
"""

from typing import Any

import clouds
import peers
import race
import torch

from fewshot.learners.transductive.bd_cspn import BDCSPN

EPISODES, TARGET, SAME = 256, 8.0, 1e-4


def easyfsl_model() -> Any:
    """Its model on features."""
    from easyfsl.methods import BDCSPN as Peer

    return Peer(torch.nn.Identity(), feature_normalization=2)


def heat(shot: int, rounds: int) -> race.Heat:
    """One number of shots."""
    support, query = clouds.episodes(EPISODES, shot)
    builders = {
        "fewshot": lambda: clouds.ours(BDCSPN(scale=1.0, shift="prototypes"), support, query),
        "easyfsl": lambda: clouds.easyfsls(easyfsl_model, support, query),
    }
    name = f"{clouds.WAY}-way {shot}-shot {clouds.QUERY}-query"
    return race.run(name, race.present(builders), lambda a: clouds.differing(a, SAME), rounds, {"easyfsl": TARGET})


if __name__ == "__main__":
    settings, started = race.arguments(__doc__.splitlines()[0], rounds=9), race.machine()
    heats = [heat(shot, settings.rounds) for shot in (1, 5)]
    race.report("bd_cspn", heats, settings, started, peers.notes())
