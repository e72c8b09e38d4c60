from fewshot.backbones.index import load_backbone as load_backbone
from fewshot.contract import Embedded as Embedded
from fewshot.contract import SupportSet as SupportSet
from fewshot.contract import per_episode as per_episode
from fewshot.datasets.collection import Collection as Collection
from fewshot.datasets.index import load_dataset as load_dataset
from fewshot.datasets.torch_dataset import from_torch as from_torch
from fewshot.datasets.unlabelled import load_items as load_items
from fewshot.episodes.fixed import FixedEpisodes as FixedEpisodes
from fewshot.episodes.sampler import EpisodeSampler as EpisodeSampler
from fewshot.episodes.spec import EpisodeSpec as EpisodeSpec
from fewshot.errors import FewShotError as FewShotError
from fewshot.estimator.classifier import FewShotClassifier as FewShotClassifier
from fewshot.evaluation.choose import choose as choose
from fewshot.evaluation.class_scores import Parts as Parts
from fewshot.evaluation.evaluate import evaluate as evaluate
from fewshot.evaluation.verify import verify as verify
from fewshot.evaluation.zero_shot import evaluate_zero_shot as evaluate_zero_shot
from fewshot.learners.adapters import from_function as from_function
from fewshot.learners.adapters import from_sklearn as from_sklearn
from fewshot.learners.index import load_learner as load_learner
from fewshot.learners.metric.nearest_mean import NearestMean as NearestMean
from fewshot.learners.transformed import Transformed as Transformed
from fewshot.records.compare import compare as compare
from fewshot.records.record import Record as Record
from fewshot.tasks.transfer import Transfer as Transfer

__version__: str
