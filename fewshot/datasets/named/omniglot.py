"""Omniglot: 1,623 handwritten characters of 50 alphabets, 20 drawings each.

Lake, Salakhutdinov and Tenenbaum, "Human-level concept learning through
probabilistic program induction", Science 350 (2015). Files:
github.com/brendenlake/omniglot, ``images_background.zip`` and ``images_evaluation.zip``.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.pixels import decode, decoded
from fewshot.datasets.formats.trees import Tree
from fewshot.datasets.location import data_root
from fewshot.errors import DataError, MissingDataError

PARTS = ("images_background", "images_evaluation")
CHARACTERS, DRAWERS = (964, 659), 20
PIXELS_SHA256 = "4413a81209f71578e99643b0575cf6a51eb77ce624a1869a1f611d8928e722fb"  # of all 105x105 images, one bit a pixel, in sorted order, background first
VALIDATION_ALPHABETS = ("Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)")
ANGLES = (0, 90, 180, 270)
SPLITS = ("vinyals", "random1200", "background-evaluation")


def load_omniglot(split: str = "vinyals", rotations: str = "classes", size: int = 28) -> Collection:
    """Omniglot with ink 255 on 0, ``(n, 1, size, size)``, in the splits that papers use.

    The 1-bit images are shrunk by nearest neighbour, which is what Pillow did in the
    code of Snell et al. (2017) and Finn et al. (2017), whatever filter they named.

    Args:
        split: ``"vinyals"`` (1028 / 172 / 423 characters), ``"random1200"`` (1100 / 100 / 423,
            drawn with seed 1 from the sorted list) or ``"background-evaluation"`` (964 / 659).
        rotations: ``"classes"`` makes every (character, angle) a class of its own; ``"none"`` does not rotate.
        size: Side of the images in pixels.

    Raises:
        MissingDataError: If the files are not below ``$FEWSHOT_DATA/omniglot``.
        DataError: If an image is unreadable, pixels or numbers are not Omniglot's, or an argument is none of these.
    """
    if split not in SPLITS or rotations not in ("classes", "none"):
        raise DataError(
            f"split must be one of {', '.join(SPLITS)} and rotations 'classes' or 'none', got '{split}' and '{rotations}'"
        )
    folder = data_root("omniglot")
    trees = [find_part(folder, part) for part in PARTS]
    files = [image_files(tree) for tree in trees]
    names = [key for part in files for key in part]
    check_counts(names)
    source = [f"size={size}", *(s for tree, part in zip(trees, files, strict=True) for s in tree.stamps(part.values()))]
    base = decoded("omniglot", source, (len(names), 1, size, size), lambda: read_pixels(trees, size))
    return _collect(base, names, split, rotations)


def find_part(folder: Path, part: str) -> Tree:
    """The zip or the extracted folder of one of the two ``PARTS``, whichever is there.

    Raises:
        MissingDataError: If neither is.
    """
    for path in (folder / f"{part}.zip", folder / part):
        if path.exists():
            return Tree(path)
    raise MissingDataError(
        f"Omniglot needs '{part}.zip' or the extracted folder '{part}' in '{folder}', got neither; "
        "run: fewshot-bench download omniglot"
    )


def image_files(tree: Tree) -> dict[str, str]:
    """File of each image, by its name ``Alphabet/character01/0001_01.png``, sorted by name."""
    pngs = [file for file in tree.files if file.endswith(".png")]
    return dict(sorted(("/".join(file.split("/")[-3:]), file) for file in pngs))


def check_counts(names: list[str]) -> None:
    """Let the names pass only if they are 1,623 characters with 20 drawings each.

    Raises:
        DataError: If they are not.
    """
    drawings = Counter(name.rsplit("/", 1)[0] for name in names)
    expected = sum(CHARACTERS)
    if len(drawings) != expected or set(drawings.values()) != {DRAWERS}:
        raise DataError(
            f"Omniglot must have {expected * DRAWERS} images of {expected} characters, {DRAWERS} each, "
            f"got {len(names)} of {len(drawings)}; extract or fetch the two archives again"
        )


def read_pixels(trees: list[Tree], size: int) -> Iterator[np.ndarray]:
    """Images ``(1, size, size)`` of both parts, in the order of `image_files`; see `read_drawings`."""
    pairs = (pair for tree in trees for pair in tree.read(image_files(tree).values()))
    return read_drawings(pairs, size, PIXELS_SHA256)


def read_drawings(pairs: Iterable[tuple[str, bytes]], size: int, sha256: str) -> Iterator[np.ndarray]:
    """Images ``(1, size, size)`` of files; after the last one, the original pixels of all are verified.

    Args:
        pairs: Name and content of each file, with one bit a pixel.
        size: Side in pixels.
        sha256: What the packed pixels of all files must hash to.

    Raises:
        DataError: If a file is unreadable or has not one bit a pixel, or the pixels are others.
    """
    total = hashlib.sha256()
    for name, content in pairs:
        image = decode(content, name)
        if image.mode != "1":
            raise DataError(
                f"Omniglot images must have one bit a pixel, got mode '{image.mode}' in '{name}'; fetch it again"
            )
        total.update(image.tobytes())
        yield ink(image, size)
    if total.hexdigest() != sha256:
        raise DataError(
            f"Omniglot's pixels must have the SHA-256 {sha256[:8]}..., got {total.hexdigest()[:8]}...; "
            "some image was changed: fetch the archives again"
        )


def ink(image: Image.Image, size: int) -> np.ndarray:
    """A 1-bit image, black on white, as ``(1, size, size)`` with ink 255 on 0."""
    paper: np.ndarray = np.asarray(image.resize((size, size), Image.Resampling.NEAREST), np.uint8)
    inked: np.ndarray = (paper ^ 1)[None] * np.uint8(255)
    return inked


def _collect(base: np.ndarray, names: list[str], split: str, rotations: str) -> Collection:
    angles = ANGLES if rotations == "classes" else ANGLES[:1]
    characters = [names[i].rsplit("/", 1)[0] for i in range(0, len(names), DRAWERS)]
    turned = base if len(angles) == 1 else np.concatenate([np.rot90(base, k, axes=(2, 3)) for k in range(len(angles))])
    n = len(characters)
    return Collection(
        turned,
        np.arange(n * len(angles)).repeat(DRAWERS),
        tuple(c if a == 0 else f"{c}/rotated{a}" for a in angles for c in characters),
        f"omniglot-{split}" + ("" if len(angles) > 1 else "-unrotated"),
        "omniglot",
        [name if a == 0 else f"{name}@{a}" for a in angles for name in names],
        np.unique([c.split("/")[0] for c in characters], return_inverse=True)[1][np.arange(n * len(angles)) % n],
        splits={k: _rows(v, n, len(angles)) for k, v in split_characters(characters, split).items()},
    )


def _rows(characters: np.ndarray, total: int, angles: int) -> np.ndarray:
    classes = (np.arange(angles)[:, None] * total + np.sort(characters)).ravel()
    rows: np.ndarray = (classes[:, None] * DRAWERS + np.arange(DRAWERS)).ravel()
    return rows


def split_characters(characters: list[str], split: str) -> dict[str, np.ndarray]:
    """Numbers of the characters in each part of a split; ``characters`` is the sorted list, background first.

    ``vinyals`` by rule: the first 1,200 are for training, of which five alphabets
    validate, and the last 423 for testing; equal to the lists that Snell et al. (2017) used.
    """
    every = np.arange(len(characters))
    if split == "background-evaluation":
        return {"train": every[: CHARACTERS[0]], "test": every[CHARACTERS[0] :]}
    if split == "random1200":
        order = np.random.Generator(np.random.Philox(1)).permutation(len(characters))
        return {"train": order[:1100], "val": order[1100:1200], "trainval": order[:1200], "test": order[1200:]}
    validates = np.array([c.split("/")[0] in VALIDATION_ALPHABETS for c in characters])
    early = every < 1200
    return {
        "train": every[early & ~validates],
        "val": every[early & validates],
        "trainval": every[early],
        "test": every[~early],
    }
