"""SetFit: a sentence encoder is trained on pairs of the examples, then logistic regression on its embeddings.

Paper: Tunstall et al., "Efficient Few-Shot Learning Without Prompts", 2022, section 3: R positive and R negative pairs for each
    example, cosine similarity loss (mean squared error to 1 and 0), one epoch, then a logistic head.
Code: github.com/huggingface/setfit. Its default since version 1 is another choice of pairs, ``"oversampling"`` here. Intended
    differences: pairs are drawn one by one while training goes on, where the code lists them all first; an example is its own
    partner only where its class has no other.
"""

from copy import deepcopy
from typing import Any

from torch import nn

from fewshot.contract import Classifier, SupportSet, per_episode
from fewshot.embedded import Embedded
from fewshot.errors import FewShotError
from fewshot.functional import require_every_class
from fewshot.learners.linear.logistic_regression import LogisticRegression
from fewshot.learners.text.pair_training import train_on_pairs
from fewshot.learners.text.pairs import PAIRS, count_pairs
from fewshot.plumbing.number_checks import keep_whole_numbers


class SetFit(nn.Module):
    """Scores are log-probabilities of a logistic head on the encoder that was trained on the support's own texts.

    Args:
        backbone: A `SentenceNetwork`; every episode trains a copy of it.
        pairs: ``"iterations"``, the paper's R pairs of each kind for each example; or ``"oversampling"``, every pair of the
            kind that has more, and as many of the other.
        iterations: R.
        epochs: Passes over the pairs.
        batch: Pairs of a step.
        learning_rate: Of AdamW at its highest, after a tenth of the steps; it falls linearly to 0.
        C: Inverse strength of the penalty of the head.
        most_pairs: Where there are more, training stops after so many.

    Raises:
        FewShotError: If an option is out of its range.
    """

    batch_norm = "running"

    def __init__(
        self,
        backbone: Any,
        pairs: str = "iterations",
        iterations: int = 20,
        epochs: int = 1,
        batch: int = 16,
        learning_rate: float = 2e-5,
        C: float = 1.0,
        most_pairs: int = 100_000,
    ) -> None:
        super().__init__()
        if pairs not in PAIRS:
            raise FewShotError(f"pairs must be one of {', '.join(PAIRS)}, got '{pairs}'")
        if not learning_rate > 0:
            raise FewShotError(f"learning_rate must be above 0, got {learning_rate}")
        self.backbone, self.pairs, self.iterations, self.epochs = backbone, pairs, iterations, epochs
        self.batch, self.learning_rate, self.C, self.most_pairs = batch, learning_rate, C, most_pairs
        keep_whole_numbers(self, iterations=1, epochs=1, batch=1, most_pairs=1)

    @per_episode
    def adapt(self, support: SupportSet[Any]) -> Classifier:
        """Train a copy of the encoder on pairs, then the head on its embeddings.

        Raises:
            EpisodeError: If a class has no example.
            MissingExtraError: If the package ``datasets``, which the trainer needs, is not installed.
        """
        require_every_class(support.y, support.n_way)
        encoder = deepcopy(self.backbone)
        seed = 0 if support.seed is None else int(support.seed) % 2**31
        train_on_pairs(
            encoder,
            support.x,
            support.y.cpu().numpy(),
            pairs=self.pairs,
            total=min(self.most_pairs, self.epochs * count_pairs(support.y.cpu().numpy(), self.pairs, self.iterations)),
            batch=self.batch,
            learning_rate=self.learning_rate,
            seed=seed,
        )
        encoder.eval().requires_grad_(False)
        return Embedded(encoder, LogisticRegression(C=self.C)).adapt(support)
