"""Whether the answers of a record of either kind hold, computed anew from the names that it holds."""

from functools import singledispatch
from typing import Any

from fewshot.cli.objects.again import same_episodes, same_learner, same_queries
from fewshot.cli.objects.setting import Setting
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
    whole, asked = Setting.of(record).load()
    learner, queries = same_learner(record, whole), same_queries(record)
    sampler = same_episodes(record, asked, queries)
    return verify(record, learner, asked, sampler, queries=queries, episodes=episodes, seed=seed)


@verdict_of.register
def _(record: ZeroShotRecord, episodes: int, seed: int) -> Verdict:
    return Verdict((), (), 0, tuple(verify_zero_shot(record)))
