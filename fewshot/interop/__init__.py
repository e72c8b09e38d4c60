"""Other libraries of the field: their algorithms here as learners, our episodes there as tasks."""

from fewshot.interop.learn2learn import from_learn2learn
from fewshot.interop.learn2learn_tasks import to_learn2learn_tasks

__all__ = ["from_learn2learn", "to_learn2learn_tasks"]
