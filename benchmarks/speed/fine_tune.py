"""Race: a head fine-tuned from the prototypes in 200 steps, on 64 episodes, 5-way 15-query, features of 640 numbers.

Contestants: ``PrototypeFineTune(head="cosine")``, all episodes in one call, and a
loop over easyfsl's ``Finetune``, ``process_support_set`` and ``forward``. Both get
the same float32 features. easyfsl's steps are Adam's; ours are plain gradient
descent by default, which needs coordinates of the support's span only. So there
are two heats for each number of shots: in the first easyfsl takes plain
gradient steps too (its ``Adam`` is exchanged), in the second we take Adam's.

Equal means: in both heats all cosines agree to 1e-5, and all answers, unless
their two best cosines are closer than that.
"""

from typing import Any
from unittest.mock import patch

import numpy as np
import peers
import race
import torch
from torch import Tensor

from fewshot.contract import SupportSet
from fewshot.learners.prototype_fine_tune import PrototypeFineTune

EPISODES, WAY, QUERY, DIM, STEPS = 64, 5, 15, 640, 200
SPREAD = 0.13  # of a class mean, in units of the noise
LR = {"gradient-descent": 10.0, "adam": 1e-3}  # prototypes are about 25 long at 1 shot; both change some answers
TARGET, SAME = 35.0, 1e-5


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


def ours(support: SupportSet, query: Tensor, optimiser: str) -> race.Contestant:
    """Cosines of all episodes."""
    learner = PrototypeFineTune("cosine", STEPS, LR[optimiser], optimiser)

    @torch.no_grad()
    def answer() -> Tensor:
        return learner.adapt(support)(query)

    return answer


def easyfsls(support: SupportSet, query: Tensor, optimiser: str) -> race.Contestant:
    """Cosines, one episode after another."""
    from easyfsl.methods import Finetune

    def one(k: int) -> Tensor:
        model = Finetune(torch.nn.Identity(), fine_tuning_steps=STEPS, fine_tuning_lr=LR[optimiser])
        model.process_support_set(support.x[k], support.y[k])
        return model(query[k])

    def answer() -> Tensor:
        with patch.object(torch.optim, "Adam", torch.optim.Adam if optimiser == "adam" else torch.optim.SGD):
            return torch.stack([one(k) for k in range(EPISODES)])

    return answer


def check(answers: dict[str, Tensor], support: SupportSet, query: Tensor) -> dict[str, Any]:
    """Raise unless answers are equal as the top of this file says."""
    mine = answers["fewshot"]
    top = mine.topk(2).values
    clear = top[..., 0] - top[..., 1] > SAME
    for name, theirs in answers.items():
        gap = float((mine - theirs).abs().max())
        if not gap <= SAME or bool(((mine.argmax(-1) != theirs.argmax(-1)) & clear).any()):
            raise AssertionError(f"cosines must agree with {name}'s within {SAME}, and answers, got {gap:.1e}")
    untrained = PrototypeFineTune("cosine", 0).adapt(support)(query)
    changed = (untrained.argmax(-1) != mine.argmax(-1)).double().mean()
    return {"largest_difference_of_cosines": gap, "answers_changed_by_the_training": float(changed)}


def heat(shot: int, optimiser: str, rounds: int) -> race.Heat:
    """One number of shots, one optimiser."""
    support, query = episodes(shot)
    builders = {
        "fewshot": lambda: ours(support, query, optimiser),
        "easyfsl": lambda: easyfsls(support, query, optimiser),
    }
    name = f"{WAY}-way {shot}-shot {QUERY}-query, {optimiser}"
    return race.run(name, race.present(builders), lambda a: check(a, support, query), rounds, {"easyfsl": TARGET})


if __name__ == "__main__":
    settings, started = race.arguments(__doc__.splitlines()[0], rounds=5), race.machine()
    heats = [heat(shot, name, settings.rounds) for name in LR for shot in (1, 5)]
    exchanged = "easyfsl has Adam only; in the heats of gradient descent torch.optim.SGD stood in its place"
    race.report("fine_tune", heats, settings, started, [*peers.notes(), exchanged])
