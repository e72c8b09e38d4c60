"""Office-Caltech10: photos of the 10 classes that Office-31 and Caltech-256 share, as features, in four domains.

Gong, Shi, Sha and Grauman, "Geodesic Flow Kernel for Unsupervised Domain Adaptation", CVPR 2012 (SURF); Donahue et al., "DeCAF", ICML
2014 (DeCAF6); photos of Saenko et al., ECCV 2010, and Griffin, Holub and Perona, 2007. No licence is stated: for research only.
"""

import numpy as np
from jaxtyping import Float

from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.matlab import from_one, numbers_of, read_mat
from fewshot.datasets.named.published_files import domain_file
from fewshot.errors import DataError

CLASSES = (
    "back_pack",
    "bike",
    "calculator",
    "headphones",
    "keyboard",
    "laptop_computer",
    "monitor",
    "mouse",
    "mug",
    "projector",
)
SURF = {
    "amazon": (
        "office_caltech10_surf/amazon_SURF_L10.mat",
        "df32548b994e18d364c99e1f317e1fae100597259f0423a41b90f4f68187bb1f",
    ),
    "caltech": (
        "office_caltech10_surf/Caltech10_SURF_L10.mat",
        "4f9334c8ced489d5054de97a5fd51a61f017f3bcd1f38c9a85c6d78cb9d7bda5",
    ),
    "dslr": (
        "office_caltech10_surf/dslr_SURF_L10.mat",
        "44d673c68e1d07b837893aa74dba3b986e4a6cc3fd66f0dd357683bdef059216",
    ),
    "webcam": (
        "office_caltech10_surf/webcam_SURF_L10.mat",
        "a6a9c78b4b7181dfbb58bcfd351d4ebd737f171c31247b8884948aa156d3f700",
    ),
}
DECAF6 = {
    "dslr": ("office_caltech10_decaf6/dslr.mat", "42443f5e82e98cbe6304cacdba905e24c8430ed977b3d6b7b279f088b76e108f"),
    "webcam": (
        "office_caltech10_decaf6/webcam.mat",
        "e42207580fb1fadd3adba2504e1d8cff9620f464fca7536f9d7093f84c1459a3",
    ),
}
COUNTS = (
    SURF,
    "fts",
    "github.com/viggin/domain-adaptation-toolbox, commit 2a991816a0ac39043b526c2b0cbe01bc844d8890, ToRelease_GFK/data",
)
FEATURES = {  # files, the variable in them, and where they are published
    "surf": COUNTS,
    "surf-z-scores": COUNTS,
    "decaf6": (
        DECAF6,
        "feas",
        "github.com/jtahmores/LSA, commit 4698659aa7cd5efbf8c9355f174f05cb87c73b2b, datasets/Office-Caltech-decaf6",
    ),
}


def load_office_caltech10(domain: str = "amazon", features: str = "surf") -> Collection:
    """One domain of Office-Caltech10 from ``$FEWSHOT_DATA/transfer``, rows in float32.

    Args:
        domain: ``"amazon"`` (958 photos), ``"caltech"`` (1,123), ``"dslr"`` (157) or ``"webcam"`` (295).
        features: ``"surf"``, 800 counts of visual words; ``"surf-z-scores"``, the same with rows divided by their sum, then
            z-scores over all photos of the domain (divisor n), for tables that draw photos afterwards; or ``"decaf6"``, 4,096
            features of a network, of dslr and webcam only.

    Raises:
        MissingDataError: If the file is not there.
        DataError: If it holds other bytes, or domain or features are not known.
    """
    if features not in FEATURES:
        raise DataError(f"features of Office-Caltech10 must be one of {', '.join(FEATURES)}, got '{features}'")
    files, variable, source = FEATURES[features]
    path = domain_file(f"Office-Caltech10 ({features.removesuffix('-z-scores')})", domain, files, source)
    variables = read_mat(path)
    rows = numbers_of(variables, variable, path)
    return Collection(
        (z_scores(rows.astype(np.float64)) if features == "surf-z-scores" else rows).astype("float32"),
        from_one(numbers_of(variables, "labels", path), len(CLASSES), "labels"),
        CLASSES,
        name="office-caltech10",
        origin=f"office-caltech10/{domain}",
    )


def z_scores(counts: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n dim"]:
    """Rows divided by their sum, then columns with mean 0 and standard deviation 1; those that do not vary are centred."""
    shares = counts / counts.sum(1, keepdims=True)
    deviation = shares.std(0)
    scaled: np.ndarray = (shares - shares.mean(0)) / np.where(deviation == 0, 1, deviation)
    return scaled
