"""Networks whose weights come with this package."""

from fewshot.backbones.conv4 import Conv4
from fewshot.backbones.weights import load_weights
from fewshot.plumbing.files import packaged


def conv4_omniglot() -> Conv4:
    """Conv-4 as prototypical networks trained it on Omniglot's training characters, for new characters.

    Takes images ``(n, 1, 28, 28)`` with ink 1 on paper 0 and gives 64 features, to be compared
    by squared Euclidean distance. ``classes_seen`` has the names of the characters of training.

    Raises:
        MissingDataError: If the package was installed without its weights.
    """
    network = Conv4()
    load_weights(packaged("data", "weights", "conv4-omniglot.safetensors"), network)
    network.pretraining = "Omniglot's training characters"  # type: ignore[assignment]
    return network
