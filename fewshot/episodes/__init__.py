"""Episodes as pure functions of (labels, spec, seed, index)."""

from fewshot.episodes.fixed import FixedEpisodes
from fewshot.episodes.index import IndexEpisodes
from fewshot.episodes.sampler import EpisodeSampler
from fewshot.episodes.spec import EpisodeSpec
from fewshot.episodes.training_draws import training_draws

__all__ = ["EpisodeSampler", "EpisodeSpec", "FixedEpisodes", "IndexEpisodes", "training_draws"]
