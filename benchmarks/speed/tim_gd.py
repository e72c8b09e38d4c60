"""Race: TIM by gradient descent, 200 steps of Adam, on 64 episodes, 5-way 15-query, features of 640 numbers.

Contestants: ``TIMGD`` with easyfsl's choices (cosines, temperature 10, cross-entropy of weight 1), all episodes in one
call, and a loop over easyfsl's ``TIM`` on the same features, of length 1.

Equal means: all logits agree to 1e-2, up to one number a query that changes no probability.
"""

from typing import Any

import clouds
import peers
import race
import torch
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.learners.transductive.tim_gd import TIMGD

EPISODES, STEPS, TARGET, SAME = 64, 200, 25.0, 1e-2


def easyfsl_model() -> Any:
    """Its model on features."""
    from easyfsl.methods import TIM as Peer

    return Peer(torch.nn.Identity(), fine_tuning_steps=STEPS, fine_tuning_lr=1e-4)


def heat(shot: int, rounds: int) -> race.Heat:
    """One number of shots."""
    support, query = clouds.episodes(EPISODES, shot)
    support, query = support.map(lambda x: normalize(x, dim=-1)), normalize(query, dim=-1)
    learner = TIMGD(temperature=10.0, support_weight=1.0, classifier="cosine", steps=STEPS)
    builders = {
        "fewshot": lambda: clouds.ours(learner, support, query),
        "easyfsl": lambda: clouds.easyfsls(easyfsl_model, support, query),
    }

    def check(answers: dict[str, Tensor]) -> dict[str, float]:
        scale = {"fewshot": 1.0, "easyfsl": 10.0}  # easyfsl answers with cosines before its temperature
        return clouds.differing({name: (scale[name] * a).log_softmax(-1) for name, a in answers.items()}, SAME)

    name = f"{clouds.WAY}-way {shot}-shot {clouds.QUERY}-query"
    return race.run(name, race.present(builders), check, rounds, {"easyfsl": TARGET})


if __name__ == "__main__":
    settings, started = race.arguments(__doc__.splitlines()[0], rounds=5), race.machine()
    heats = [heat(shot, settings.rounds) for shot in (1, 5)]
    race.report("tim_gd", heats, settings, started, peers.notes())
