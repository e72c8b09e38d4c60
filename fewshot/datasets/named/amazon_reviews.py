"""Amazon reviews: good and bad reviews of four kinds of things, as counts of 5,000 words and pairs of words.

Blitzer, Dredze and Pereira, "Biographies, Bollywood, Boom-boxes and Blenders", ACL 2007; counts as in Ganin et al., "Domain-Adversarial
Training of Neural Networks", JMLR 2016, whose authors publish them under BSD-2-Clause.
"""

from pathlib import Path

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.named.published_files import domain_file
from fewshot.plumbing.reading import in_one_sentence

SOURCE = (
    "github.com/GRAAL-Research/domain_adversarial_neural_network, commit 74eec5e0ae06bd6614bce048abba492c16a633e3, data"
)
COLUMNS = 5000
TRAIN = {
    "books": "317f9a2ec34b81de770b63a84d8c5cc2dc16bd0be6e079d2ff5b5bad5213ea19",
    "dvd": "95f602aa08bf6b55758f7b0b18df3882fe30acb11987ee60b6b4bb3c44cba733",
    "electronics": "7d0061f03ff3827e4f8036b051b5e5828fddc0cd115aa5b212cd28d624dc14e4",
    "kitchen": "a70b5ebfe1413e0e16280360905f5c3b64389c435cd20c0165dc9d7f293b31b5",
}
TEST = {
    "books": "fe4605c7dcf0e0a9410fd2a32f247caaf9abb352cc6e4c3e0f400853163ad9c4",
    "dvd": "4fe1b1a15010f78d8d0c49fe362d35fd4677463a45f1ac02a9f410ae1e638060",
    "electronics": "641783bc941839c3a111d3488a1b7e3bd820a61ec14a129e7429b47703aa961d",
    "kitchen": "e1502b97a824eb12314be4447394fa736fecb781c0724e6529cd6733ac7ff6d8",
}


def load_amazon_reviews(domain: str = "books") -> Collection:
    """The reviews of one domain from ``$FEWSHOT_DATA/transfer``: split ``train`` has 2,000, ``test`` the others.

    Args:
        domain: ``"books"`` (6,465 reviews), ``"dvd"`` (5,586), ``"electronics"`` (7,681) or ``"kitchen"`` (7,945).

    Returns:
        Counts in float32, 112 to 159 MB.

    Raises:
        MissingDataError: If a file is not there.
        DataError: If one holds other bytes, or the domain is not known.
    """
    parts = [_read(domain, part, sha256) for part, sha256 in (("train", TRAIN), ("test", TEST))]
    count = len(parts[0][1])
    labels = np.concatenate([labels for _, labels in parts])
    return Collection(
        np.concatenate([rows for rows, _ in parts]),
        (labels > 0).astype(np.int64),
        ("negative", "positive"),
        name="amazon-reviews",
        origin=f"amazon-reviews/{domain}",
        splits={"train": np.arange(count), "test": np.arange(count, len(labels))},
    )


def _read(domain: str, part: str, sha256: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_svmlight_file

    files = {name: (f"amazon_reviews_svmlight/{name}_{part}.svmlight", known) for name, known in sha256.items()}
    path: Path = domain_file("Amazon reviews", domain, files, SOURCE)
    with in_one_sentence(f"'{path}' must be in the format of svmlight", "fetch it again"):
        rows, labels = load_svmlight_file(str(path), n_features=COLUMNS, dtype=np.float32, zero_based=True)
    return rows.toarray(), labels
