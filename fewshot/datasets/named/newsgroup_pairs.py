"""Pairs of newsgroups: texts of two subjects as counts of 2,000 words, in two domains with other groups of the same subjects.

Lang, "20 Newsgroups", 1995; tasks of Gu and Zhou, "Learning the Shared Subspace for Multi-Task Clustering and Transductive Transfer
Classification", ICDM 2009, as in MALSAR. Nothing is stated about a licence of the texts: for research only.
"""

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.matlab import from_one, numbers_of, read_mat
from fewshot.datasets.named.published_files import domain_file
from fewshot.errors import DataError

SOURCE = "github.com/jiayuzhou/MALSAR, commit fb9751594983df020ddc4f7e4a40520ee7c37989, data/Newsgroup"
FILES = {
    "comp.vs.sci": {
        "task1": ("task1.mat", "136e73185215cdc5fe7af4c2e0d86dae9da864e119fef95253ef6614d139d7ab"),
        "task2": ("task2.mat", "efafdffe36f05668f9cd638cbfad45a96b6e69e385a65fb7a24dda6082adec52"),
    },
    "rec.vs.talk": {
        "task1": ("Task1.mat", "2ccc2c933adb5e9a88524e0d0a90022ee925e3395fead485c2d7d31a14149997"),
        "task2": ("Task2.mat", "162fe06ddbad645577a2c538645f72115416811f8ee6dffc2fe2944a1c632e08"),
    },
}


def load_newsgroup_pairs(pair: str = "comp.vs.sci", domain: str = "task1") -> Collection:
    """Texts of one domain of a pair from ``$FEWSHOT_DATA/transfer``, counts in float32.

    Classes are called ``"1"`` and ``"2"``, as in the files, which do not say which subject is which.

    Args:
        pair: ``"comp.vs.sci"`` (1,875 and 1,827 texts) or ``"rec.vs.talk"`` (1,844 and 1,545).
        domain: ``"task1"`` or ``"task2"``.

    Raises:
        MissingDataError: If the file is not there.
        DataError: If it holds other bytes, or pair or domain are not known.
    """
    if pair not in FILES:
        raise DataError(f"the pair of newsgroups must be one of {', '.join(FILES)}, got '{pair}'")
    files = {name: (f"newsgroup_malsar/{pair}/{file}", sha256) for name, (file, sha256) in FILES[pair].items()}
    path = domain_file("newsgroup pairs", domain, files, f"{SOURCE}/{pair}")
    variables = read_mat(path)
    return Collection(
        numbers_of(variables, "fea", path).astype(np.float32),
        from_one(numbers_of(variables, "gnd", path), 2, "labels"),
        ("1", "2"),
        name="newsgroup-pairs",
        origin=f"newsgroup-pairs/{pair}/{domain}",
    )
