"""Matching networks: a backbone with attention over the support, and embeddings that read the whole support.

Paper: Vinyals, Blundell, Lillicrap, Kavukcuoglu and Wierstra, "Matching Networks for One Shot Learning",
    NeurIPS 2016, section 2.1, eq. 1, section 2.1.2; appendix A, eqs. 3 to 6 and A.2.
Code: none by the authors. The paper leaves open what the attention LSTM starts with (zeros here, so that the first
    reading is the mean of the support) and how many steps it takes (three here, as in Ravi and Larochelle's code). A
    temperature as in `MatchingAttention`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewshot.contract import Classifier, SupportSet
from fewshot.embedded import Embedded
from fewshot.errors import FewShotError, ShapeError
from fewshot.functional import require_every_class
from fewshot.learners.metric.matching_attention import MatchingAttention
from fewshot.plumbing.number_checks import whole_number


def MatchingNet(backbone: Callable[..., Any], fce: bool = False, metric: str = "cosine", temperature: float = 1.0,
                steps: int = 3, dim: int | None = None, seed: int = 0) -> Embedded:  # fmt: skip
    """A backbone that is trained so that queries attend to the support items of their class.

    Args:
        backbone: A module that turns items ``(n, *item)`` into features ``(n, dim)``.
        fce: Fully conditional embeddings: support and queries are embedded in the light of the whole support.
        metric: ``"cosine"``, or ``"squared-euclidean"``.
        temperature: Similarities are divided by it; the paper has 1.
        steps: Readings of the support by a query, with ``fce``.
        dim: Number of features, with ``fce``; the backbone's own ``dim`` when left out.
        seed: Of the initial weights of the two LSTMs.

    Raises:
        FewShotError: If an option is out of range, or nobody says how many features there are.
    """
    attention = MatchingAttention(metric, temperature)
    if not fce:
        return Embedded(backbone, attention)
    dim = dim if dim is not None else getattr(backbone, "dim", None)
    if dim is None:
        raise FewShotError(f"fce must know the number of features, got a {type(backbone).__name__}; pass dim")
    return Embedded(backbone, FullContext(int(dim), attention, steps, seed))


class FullContext(nn.Module):
    """Attention on embeddings g(x_i, S) and f(x, S); the order in which the support comes matters.

    Args:
        dim: Number of features.
        attention: The classifier on the embeddings.
        steps: Readings of the support by a query; without one it is embedded as its mere features.
        seed: Of the initial weights.

    Raises:
        FewShotError: If ``steps`` is negative.
    """

    def __init__(self, dim: int, attention: MatchingAttention, steps: int = 3, seed: int = 0) -> None:
        super().__init__()
        steps = whole_number("steps", steps, 0)
        self.dim, self.attention, self.steps = dim, attention, steps
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.reader = nn.LSTM(dim, dim, bidirectional=True, batch_first=True)
            self.asker = nn.LSTMCell(2 * dim, dim)  # [h, r] of eq. 3: weights of r beside those of the input

    def adapt(self, support: SupportSet) -> Classifier:
        """Read the support in both directions; the classifier reads it again for each query.

        Raises:
            EpisodeError: If a class has no example.
            ShapeError: If the features are not of size ``dim``.
        """
        require_every_class(support.y, support.n_way)
        if support.x.shape[-1] != self.dim:
            raise ShapeError(f"features must be of size {self.dim}, got {support.x.shape[-1]}; pass another dim")
        g = self.read(support.x)
        classify = self.attention.adapt(replace(support, x=g))
        return lambda query: classify(self.ask(query, g))

    def read(self, x: Float[Tensor, "*e s dim"]) -> Float[Tensor, "*e s dim"]:
        """g(x_i, S): both directions of an LSTM over the support and its features, added (A.2)."""
        forth, back = self.reader(x)[0].chunk(2, -1)
        return torch.add(x, torch.add(forth, back))

    def ask(self, query: Float[Tensor, "*e q dim"], g: Float[Tensor, "*e s dim"]) -> Float[Tensor, "*e q dim"]:
        """f(x, S): an LSTM on the query's features that reads the support by attention in each step (eqs. 3 to 6)."""
        h, cell = query if not self.steps else torch.zeros_like(query), torch.zeros_like(query)
        for _ in range(self.steps):
            reading = (h @ g.mT).softmax(-1) @ g  # (e, q, dim)
            flat = torch.cat([query, reading], -1).flatten(0, -2)
            state = self.asker(flat, (h.flatten(0, -2), cell.flatten(0, -2)))
            h, cell = state[0].reshape(query.shape) + query, state[1].reshape(query.shape)
        return h
