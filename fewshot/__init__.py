"""Few-shot and zero-shot learning: episodes, learners, and evaluation with honest intervals.

This file is the index of the library. Names are loaded when they are first
used, so importing it is fast and loads no torch.
"""

import importlib
from typing import Any

_INDEX = {
    "Collection": "fewshot.datasets.collection",
    "Embedded": "fewshot.embedded",
    "EpisodeSampler": "fewshot.episodes.sampler",
    "EpisodeSpec": "fewshot.episodes.spec",
    "Episodes": "fewshot.tasks.episodes",
    "FewShotClassifier": "fewshot.estimator.classifier",
    "FewShotError": "fewshot.errors",
    "FixedEpisodes": "fewshot.episodes.fixed",
    "Generalised": "fewshot.tasks.generalised",
    "NearestMean": "fewshot.learners.metric.nearest_mean",
    "Parts": "fewshot.tasks.parts",
    "Record": "fewshot.records.record",
    "SupportSet": "fewshot.contract",
    "TrainingDraws": "fewshot.tasks.training_draws",
    "Transfer": "fewshot.tasks.transfer",
    "Transformed": "fewshot.learners.transformed",
    "ZeroShot": "fewshot.tasks.zero_shot",
    "choose": "fewshot.evaluation.choose",
    "compare": "fewshot.records.compare",
    "differences": "fewshot.records.differences",
    "evaluate": "fewshot.evaluation.evaluate",
    "evaluate_zero_shot": "fewshot.evaluation.zero_shot",
    "from_function": "fewshot.learners.adapters",
    "from_sklearn": "fewshot.learners.adapters",
    "from_torch": "fewshot.datasets.torch_dataset",
    "load_backbone": "fewshot.backbones.index",
    "load_dataset": "fewshot.datasets.index",
    "load_items": "fewshot.datasets.unlabelled",
    "load_learner": "fewshot.learners.index",
    "load_record": "fewshot.records.load",
    "per_episode": "fewshot.contract",
    "verify": "fewshot.evaluation.verify",
}

__all__ = sorted(_INDEX)  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    if name not in _INDEX:
        raise AttributeError(f"module 'fewshot' has no attribute '{name}'")
    return getattr(importlib.import_module(_INDEX[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
