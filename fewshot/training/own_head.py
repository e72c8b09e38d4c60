"""A network that answers with the head that supervised training gave it."""

from jaxtyping import Float
from torch import Tensor, nn

from fewshot.contract import Classifier, SupportSet
from fewshot.errors import EpisodeError
from fewshot.training.supervised import ClassHead


class OwnHead(nn.Module):
    """A learner whose scores are log-probabilities of the trained head; examples of a support change nothing.

    The classes of an episode must be those of the head, in the same order, as in a `fewshot.tasks.transfer.Transfer`
    from the collection that the network was trained on.

    Args:
        network: After `fewshot.training.supervised.pretrain`.
    """

    class_symmetric = False
    prepares = True

    def __init__(self, network: ClassHead) -> None:
        super().__init__()
        self.network = network

    def adapt(self, support: SupportSet) -> Classifier:
        """Take the classes of the support for those of the head.

        Raises:
            EpisodeError: If there are more or fewer.
        """
        classes = self.network.head.out_features
        if support.n_way != classes:
            raise EpisodeError(f"a trained head answers for its own {classes} classes, got n_way {support.n_way}")
        return self.answer

    def answer(self, query: Tensor) -> Float[Tensor, "e q n_way"]:
        """Log-probabilities of the classes for each item."""
        e, q = query.shape[:2]
        scores: Tensor = self.network.logits(self.network.embed(query.flatten(0, 1))).log_softmax(-1)
        return scores.reshape(e, q, -1)
