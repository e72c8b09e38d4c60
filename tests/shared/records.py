"""Makers of records for tests, without any evaluation."""

import numpy as np

from fewshot.records.answers import Answers
from fewshot.records.record import BackboneInfo, DataInfo, EpisodesInfo, LearnerInfo, Record
from fewshot.records.summary import summarize


def answers(correct=(3, 5, 4, 4), queries=6, ways=3, classes=5, seed=0):
    """Answers with the given numbers of right ones; wrong ones are the next class of the episode."""
    rng = np.random.default_rng(seed)
    episodes = len(correct)
    asked = np.stack([rng.permutation(classes)[:ways] for _ in range(episodes)])
    columns = np.arange(queries) % ways
    true = asked[:, columns]
    right = np.arange(queries) < np.asarray(correct)[:, None]
    predicted = np.where(right, true, asked[:, (columns + 1) % ways])
    starts, class_starts = np.arange(episodes + 1) * queries, np.arange(episodes + 1) * ways
    return Answers(starts, true.ravel(), predicted.ravel(), class_starts, asked.ravel(), np.arange(true.size))


def record(correct=(3, 5, 4, 4), queries=6, manifest="m1", shot=1, way=3, learner="nearest-mean", **known):
    """A record with these counts, its answers in memory."""
    given = answers(correct, queries, way)
    fields = {
        "learner": LearnerInfo(name=learner, options={"temperature": 2.0}),
        "backbone": BackboneInfo(name="pixels", fingerprint="pixels"),
        "data": DataInfo(name="shapes", hash="0" * 64, split="test", classes=5, items=50),
        "episodes": EpisodesInfo(
            way=way, shot=shot, query=2, query_distribution="balanced", count=len(correct), seed=0, manifest=manifest,
            spec={"way": way, "shot": shot, "query": 2},
        ),
        "versions": {"python": "3"},
        "code": "c0de",
        "device": "cpu",
        "seconds": 1.25,
    }  # fmt: skip
    made = Record(correct=list(correct), queries=queries, summary=summarize(given), **{**fields, **known})
    return made.with_answers(given)
