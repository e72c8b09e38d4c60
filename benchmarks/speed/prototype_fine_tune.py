"""Race: a head fine-tuned from the prototypes in 200 steps, on 64 episodes, 5-way 15-query, features of 640 numbers.

Contestants: ``PrototypeFineTune(head="cosine")``, all episodes in one call, and a
loop over easyfsl's ``Finetune``, ``process_support_set`` and ``forward``. Both get
the same float32 features. easyfsl's steps are Adam's; ours are plain gradient
descent by default, which needs coordinates of the support's span only. So there
are two heats for each number of shots: in the first easyfsl takes plain
gradient steps too (its ``Adam`` is exchanged), in the second we take Adam's.

Equal means: in both heats all cosines agree to 1e-5, and all answers, save for near ties.
"""

from typing import Any
from unittest.mock import patch

import clouds
import peers
import race
import torch
from torch import Tensor

from fewshot.contract import SupportSet
from fewshot.learners.linear.prototype_fine_tune import PrototypeFineTune

EPISODES, STEPS = 64, 200
LR = {"gradient-descent": 10.0, "adam": 1e-3}  # prototypes are about 25 long at 1 shot; both change some answers
TARGET, SAME = 35.0, 1e-5


def easyfsl_model(optimiser: str) -> Any:
    """Its model on features, with plain gradient steps where they are asked for."""
    from easyfsl.methods import Finetune

    class Model(Finetune):
        def forward(self, query: Tensor) -> Tensor:
            with patch.object(torch.optim, "Adam", torch.optim.Adam if optimiser == "adam" else torch.optim.SGD):
                return super().forward(query)

    return Model(torch.nn.Identity(), fine_tuning_steps=STEPS, fine_tuning_lr=LR[optimiser])


def check(answers: dict[str, Tensor], support: SupportSet, query: Tensor) -> dict[str, float]:
    """Raise unless answers are equal as the top of this file says; tell how many the training has changed."""
    untrained = clouds.ours(PrototypeFineTune("cosine", 0), support, query)()
    changed = (untrained.argmax(-1) != answers["fewshot"].argmax(-1)).double().mean()
    return {**clouds.differing(answers, SAME), "answers_changed_by_the_training": float(changed)}


def heat(shot: int, optimiser: str, rounds: int) -> race.Heat:
    """One number of shots, one optimiser."""
    support, query = clouds.episodes(EPISODES, shot)
    learner = PrototypeFineTune("cosine", STEPS, LR[optimiser], optimiser)
    builders = {
        "fewshot": lambda: clouds.ours(learner, support, query),
        "easyfsl": lambda: clouds.easyfsls(lambda: easyfsl_model(optimiser), support, query),
    }
    name = f"{clouds.WAY}-way {shot}-shot {clouds.QUERY}-query, {optimiser}"
    return race.run(name, race.present(builders), lambda a: check(a, support, query), rounds, {"easyfsl": TARGET})


if __name__ == "__main__":
    settings, started = race.arguments(__doc__.splitlines()[0], rounds=5), race.machine()
    heats = [heat(shot, name, settings.rounds) for name in LR for shot in (1, 5)]
    exchanged = "easyfsl has Adam only; in the heats of gradient descent torch.optim.SGD stood in its place"
    race.report("prototype_fine_tune", heats, settings, started, [*peers.notes(), exchanged])
