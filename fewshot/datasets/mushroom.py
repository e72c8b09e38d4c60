"""Mushrooms: 8,124 of them, edible or poisonous, by 22 attributes; domains are the two shapes of the stalk.

Schlimmer, "Mushroom", UCI Machine Learning Repository, 1987; domains of Dai, Yang, Xue and Yu, "Boosting for Transfer Learning", ICML 2007.
No licence is stated with the file; the repository of UCI has it under CC BY 4.0.
"""

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.published_files import published_file
from fewshot.errors import DataError

SOURCE = (
    "github.com/liyorkl/mushroom-classification-decision-tree, commit 20882fb347a5c749f53c41097ce586c55e691dc1, data"
)
FILE = ("mushroom/agaricus-lepiota.data", "d90e061429610244950859fefbb5f68c6e6410cbd1b0e5ac8caaadfec3b388fb")
SHAPES = {"tapering": "t", "enlarging": "e"}
SHAPE = 9  # column of the stalk's shape, without the class


def load_mushroom(domain: str = "tapering") -> Collection:
    """Mushrooms of one domain from ``$FEWSHOT_DATA/transfer``: 117 columns of 0 and 1, one for each letter of an attribute.

    Columns are the same in both domains, those of the stalk's shape among them. A question mark is a letter like others.

    Args:
        domain: ``"tapering"`` (4,608 mushrooms) or ``"enlarging"`` (3,516).

    Raises:
        MissingDataError: If the file is not there.
        DataError: If it holds other bytes, or the domain is not known.
    """
    if domain not in SHAPES:
        raise DataError(f"the domain of mushroom must be one of {', '.join(SHAPES)}, got '{domain}'")
    lines = published_file(*FILE, SOURCE).read_text("ascii").split()[23:]  # the first line names the columns
    table = np.array([line.split(",") for line in lines])
    labels, letters = (table[:, 0] == "p").astype(np.int64), table[:, 1:]
    rows = np.concatenate([column[:, None] == np.unique(column) for column in letters.T], 1).astype(np.float32)
    chosen = letters[:, SHAPE] == SHAPES[domain]
    return Collection(
        rows[chosen], labels[chosen], ("edible", "poisonous"), name="mushroom", origin=f"mushroom/{domain}"
    )
