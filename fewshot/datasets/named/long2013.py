"""Digits and objects of the paper on joint distribution adaptation: USPS and MNIST, and COIL20 in two halves.

Long, Wang, Ding, Sun and Yu, "Transfer Feature Learning with Joint Distribution Adaptation", ICCV 2013; images of Hull, 1994, LeCun et
al., 1998, and Nene, Nayar and Murase, 1996. No licence is stated: for research only.
"""

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.matlab import from_one, numbers_of, read_mat
from fewshot.datasets.named.published_files import published_file
from fewshot.errors import DataError

LSA = "github.com/jtahmores/LSA, commit 4698659aa7cd5efbf8c9355f174f05cb87c73b2b, datasets"
DIGITS = ("usps_mnist/USPS_vs_MNIST.mat", "77d2df99e2aab8a722c8d4ff7c93a92d8b29d409a065f12e972168d1089e2971")
OBJECTS = ("coil20/COIL_1.mat", "5001c5bcef8d95217d66a08bdccbcaae2bc8cd3142540ed4ec38ca0796342534")


def load_usps_mnist(domain: str = "usps") -> Collection:
    """1,800 digits of USPS or 2,000 of MNIST as rows of 16 x 16 grey values, from ``$FEWSHOT_DATA/transfer``.

    Args:
        domain: ``"usps"`` or ``"mnist"``.

    Raises:
        MissingDataError: If the file is not there.
        DataError: If it holds other bytes, or the domain is not known.
    """
    names = tuple(str(digit) for digit in range(10))
    return _half("usps-mnist", domain, ("usps", "mnist"), *DIGITS, f"{LSA}/Digit", names)


def load_coil20(domain: str = "coil1") -> Collection:
    """720 photos of 20 objects on a turntable as rows of 32 x 32 grey values, from ``$FEWSHOT_DATA/transfer``.

    Args:
        domain: ``"coil1"``, taken from 0 to 85 and 180 to 265 degrees, or ``"coil2"``, from the others.

    Raises:
        MissingDataError: If the file is not there.
        DataError: If it holds other bytes, or the domain is not known.
    """
    names = tuple(f"object {number}" for number in range(1, 21))
    return _half("coil20", domain, ("coil1", "coil2"), *OBJECTS, f"{LSA}/COIL20", names)


def _half(
    name: str, domain: str, domains: tuple[str, str], file: str, sha256: str, source: str, classes: tuple[str, ...]
) -> Collection:
    if domain not in domains:
        raise DataError(f"the domain of {name} must be one of {', '.join(domains)}, got '{domain}'")
    path = published_file(file, sha256, source)
    variables, part = read_mat(path), ("src", "tar")[domains.index(domain)]
    return Collection(
        np.ascontiguousarray(numbers_of(variables, f"X_{part}", path).T, np.float32),
        from_one(numbers_of(variables, f"Y_{part}", path), len(classes), "labels"),
        classes,
        name=name,
        origin=f"{name}/{domain}",
    )
