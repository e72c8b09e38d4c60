"""BD-CSPN: class means rectified by the queries, compared by cosine.

Paper: Liu, Song and Qin, "Prototype Rectification for Few-Shot Learning", ECCV 2020, eqs. 1, 5, 6 and 8.
Code: none from the authors. github.com/oveilleux/Realistic_Transductive_Few_Shot, ``src/methods/bdcspn.py``, divides the
    weights by their sum over classes and answers by Euclidean distance; weights and cosines are the paper's here.
    That code shifts the queries for the prototypes only, which is ``shift="prototypes"`` here. Every query joins a
    class here; the paper takes the most confident ones of each.
"""

from dataclasses import dataclass

from torch import Tensor

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import rectifying_weights, require_every_class
from fewshot.learners.transductive.gram import class_means, cosines, gram, moved, to_the_support, unit


@dataclass(frozen=True)
class BDCSPN:
    """Scores are the cosines of shifted queries to the rectified class means; they only rank.

    Items are given length 1, and queries are moved so that their mean is that of the support (eq. 8). Classes need
    not be balanced, but the shift takes both means to be alike, which unbalanced queries are not.

    Attributes:
        scale: Multiplies the cosines that become weights; 10 in the paper.
        shift: ``"all"`` answers shifted queries, ``"prototypes"`` shifts them for the prototypes only, ``"none"``
            never.

    Raises:
        FewShotError: If the scale is not above 0, or the shift is none of the three.
    """

    scale: float = 10.0
    shift: str = "all"

    transductive = True
    scores = "rank"

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise FewShotError(f"scale must be above 0, got {self.scale}")
        if self.shift not in ("all", "prototypes", "none"):
            raise FewShotError(f"shift must be 'all', 'prototypes' or 'none', got '{self.shift}'")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Keep the support; prototypes are made when the queries come.

        Raises:
            EpisodeError: If a class has no example; later, if a single query is to be shifted.
        """
        require_every_class(support.y, support.n_way)
        return lambda query: self._cosines(support, query)[..., support.y.shape[-1] :].mT

    def _cosines(self, support: SupportSet, query: Tensor) -> Tensor:
        """Cosines of the rectified means to all items, (e, n_way, s + q)."""
        given = unit(gram(support.x, query))
        if self.shift == "none":
            return cosines(given, self._prototypes(given, support))
        of_query, by = to_the_support(support.y.shape[-1], query)
        shifted = moved(given, of_query, by)
        prototypes = self._prototypes(shifted, support)
        if self.shift == "all":
            return cosines(shifted, prototypes)
        return cosines(
            given, prototypes + (prototypes @ of_query).unsqueeze(-1) * by
        )  # the same points, of given items

    def _prototypes(self, k: Tensor, support: SupportSet) -> Tensor:
        means = class_means(support.y, support.n_way, k)
        return rectifying_weights(self.scale * cosines(k, means), support.y)
