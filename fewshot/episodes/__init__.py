"""Episodes as pure functions of (labels, spec, seed, index)."""

from fewshot.episodes.fixed import FixedEpisodes
from fewshot.episodes.index import IndexEpisodes
from fewshot.episodes.sampler import EpisodeSampler
from fewshot.episodes.spec import EpisodeSpec

__all__ = ["EpisodeSampler", "EpisodeSpec", "FixedEpisodes", "IndexEpisodes"]
