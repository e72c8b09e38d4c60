"""Every kind of task: those with examples query episodes, those with descriptions query all items of some classes."""

from fewshot.tasks.episodes import Episodes
from fewshot.tasks.generalised import Generalised
from fewshot.tasks.training_draws import TrainingDraws
from fewshot.tasks.transfer import Transfer
from fewshot.tasks.zero_shot import ZeroShot

ByExample = Episodes | TrainingDraws | Transfer
ByDescription = ZeroShot | Generalised
Task = ByExample | ByDescription
