"""Omniglot: 1,623 handwritten characters of 50 alphabets, 20 drawings each.

Lake, Salakhutdinov and Tenenbaum, "Human-level concept learning through
probabilistic program induction", Science 350 (2015). Files:
github.com/brendenlake/omniglot, ``images_background.zip`` and ``images_evaluation.zip``.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from fewshot.datasets.collection import Collection
from fewshot.datasets.location import data_root
from fewshot.datasets.pixels import decode, decoded, stamp
from fewshot.errors import DataError, MissingDataError

PARTS = ("images_background", "images_evaluation")
CHARACTERS, DRAWERS = (964, 659), 20
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
        DataError: If an image is unreadable, or the numbers of classes and images are not Omniglot's.
    """
    folder = data_root("omniglot")
    sources = [_source(folder, part) for part in PARTS]
    stamps = [stamp(s) if s.is_file() else _tree_stamp(s) for s in sources]
    names = [n for source, part in zip(sources, PARTS, strict=True) for n in _names(source, part)]
    _verify(names)
    base = decoded("omniglot", [f"size={size}", *stamps], lambda: _decode_all(sources, size))
    return _collect(base, names, split, rotations)


def _source(folder: Path, part: str) -> Path:
    """The zip or the extracted folder, whichever is there."""
    for path in (folder / f"{part}.zip", folder / part):
        if path.exists():
            return path
    raise MissingDataError(
        f"Omniglot needs '{part}.zip' or the extracted folder '{part}' in '{folder}', got neither; "
        "run: fewshot-bench download omniglot"
    )


def _tree_stamp(folder: Path) -> str:
    files = sorted(folder.glob("*/*/*.png"))
    return "|".join([str(folder.resolve()), *(f"{f.stat().st_size},{f.stat().st_mtime_ns}" for f in files)])


def _names(source: Path, part: str) -> list[str]:
    """``Alphabet/character01/0001_01.png`` of every image, sorted."""
    if source.is_dir():
        return sorted(f.relative_to(source).as_posix() for f in source.glob("*/*/*.png"))
    try:
        with zipfile.ZipFile(source) as archive:
            found = [n for n in archive.namelist() if n.endswith(".png") and "__MACOSX" not in n]
    except zipfile.BadZipFile as error:
        raise DataError(f"'{source}' must be a whole zip file, got: {error}; fetch it again") from None
    return sorted(n.split(f"{part}/", 1)[-1] for n in found)


def _verify(names: list[str]) -> None:
    characters = len({n.rsplit("/", 1)[0] for n in names})
    expected = sum(CHARACTERS)
    if (len(names), characters) != (expected * DRAWERS, expected):
        raise DataError(
            f"Omniglot must have {expected * DRAWERS} images of {expected} characters, "
            f"got {len(names)} of {characters}; extract or fetch the two archives again"
        )


def _decode_all(sources: list[Path], size: int) -> np.ndarray:
    images = (content for source, part in zip(sources, PARTS, strict=True) for content in _contents(source, part))
    return np.stack([_shrink(content, name, size) for name, content in images])[:, None]


def _contents(source: Path, part: str) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        yield from ((str(source / name), (source / name).read_bytes()) for name in _names(source, part))
        return
    with zipfile.ZipFile(source) as archive:
        inside = {n.split(f"{part}/", 1)[-1]: n for n in archive.namelist()}
        yield from ((f"{source}:{name}", archive.read(inside[name])) for name in _names(source, part))


def _shrink(content: bytes, name: str, size: int) -> np.ndarray:
    image = decode(content, name)
    if image.mode != "1":
        raise DataError(f"Omniglot images must have one bit a pixel, got mode '{image.mode}' in '{name}'; fetch it again")
    return (1 - np.asarray(image.resize((size, size), Image.Resampling.NEAREST), np.uint8)) * np.uint8(255)


def _collect(base: np.ndarray, names: list[str], split: str, rotations: str) -> Collection:
    if split not in SPLITS or rotations not in ("classes", "none"):
        raise DataError(
            f"split must be one of {', '.join(SPLITS)} and rotations 'classes' or 'none', got '{split}' and '{rotations}'"
        )
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
    return (classes[:, None] * DRAWERS + np.arange(DRAWERS)).ravel()


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
