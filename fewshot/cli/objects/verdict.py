"""Whether the answers of a record of either kind hold, computed anew from the names that it holds."""

from functools import singledispatch
from typing import Any

from fewshot.cli.objects.again import same_data, same_episodes, same_learner
from fewshot.evaluation.verify import Verdict, verify
from fewshot.recipes.transfer import is_transfer, verify_transfer
from fewshot.recipes.zero_shot import verify_zero_shot
from fewshot.records.zero_shot import ZeroShotRecord


@singledispatch
def verdict_of(record: Any, episodes: int, seed: int) -> Verdict:
    """Compute some episodes anew, or all of a record that has a single test set.

    Args:
        record: To check.
        episodes: How many of them.
        seed: Of their random choice.

    Raises:
        FewShotError: If data or weights are not here, or are others.
    """
    if is_transfer(record):
        return Verdict((), (), 0, tuple(verify_transfer(record)))
    data = same_data(record)
    learner, sampler = same_learner(record, data.whole), same_episodes(record, data)
    return verify(record, learner, data.novel, sampler, queries=data.queries, episodes=episodes, seed=seed)


@verdict_of.register
def _(record: ZeroShotRecord, episodes: int, seed: int) -> Verdict:
    return Verdict((), (), 0, tuple(verify_zero_shot(record)))
