"""Episodes as pure functions of (labels, spec, seed, index)."""

from fewshot.episodes.index import FixedEpisodes, IndexEpisodes
from fewshot.episodes.sampler import EpisodeSampler
from fewshot.episodes.spec import EpisodeSpec

__all__ = ["EpisodeSampler", "EpisodeSpec", "FixedEpisodes", "IndexEpisodes"]
