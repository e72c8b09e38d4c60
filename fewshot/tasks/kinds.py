"""Every kind of task, by what a learner is asked: queries of episodes, or items of classes that descriptors name."""

from fewshot.tasks.episodes import Episodes
from fewshot.tasks.generalised import Generalised
from fewshot.tasks.training_draws import TrainingDraws
from fewshot.tasks.transfer import Transfer
from fewshot.tasks.zero_shot import ZeroShot

ByExample = Episodes | TrainingDraws | Transfer
ByDescription = ZeroShot | Generalised
Task = ByExample | ByDescription
