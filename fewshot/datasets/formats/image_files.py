"""Which files are images: by a known ending, else by their first bytes; what is none is counted."""

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from fewshot.datasets.formats.trees import Tree
from fewshot.errors import FewShotWarning

SUFFIXES = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".bmp", ".dib", ".gif", ".webp", ".avif", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpf", ".jpx",
)  # fmt: skip
PHOTOS = (*SUFFIXES, ".heic", ".heif")  # the last two need a package that this one does not have
OF_WINDOWS = ("thumbs.db", "desktop.ini")  # hidden there
# PNG, JPEG, GIF, WebP, AVIF, BMP, JPEG 2000; TIFF is known by its ending only, since raw files of cameras begin as it does
BEGINNINGS = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP|.{4}ftypavi[fs]|BM.{4}\0\0\0\0|\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    re.DOTALL,
)


def is_file(path: str | Path) -> bool:
    """Whether a path is that of a file; unlike `Path.is_file` also for texts that are too long, or hold a zero, to be a path."""
    return os.path.isfile(path)  # noqa: PTH113


def is_image(head: bytes) -> bool:
    """Whether the first 16 bytes of a file are those of an image."""
    return BEGINNINGS.match(head) is not None


def images_in(tree: Tree) -> list[str]:
    """Names of all images of a tree, sorted; a file of another ending is one if its first bytes say so.

    Warns with a `FewShotWarning` that counts by their endings the files that are none.
    """
    known = {name: name.lower().endswith(SUFFIXES) for name in tree.files}
    heads = tree.heads(name for name, image in known.items() if not image)
    known |= {name: is_image(head) for name, head in heads}
    images = [name for name, image in known.items() if image]
    if images:
        warn_passed_over(tree, [name for name, image in known.items() if not image])
    return images


def warn_passed_over(tree: Tree, others: Iterable[str]) -> None:
    """Count files that are no images by their endings, in a `FewShotWarning`; nothing where there is none."""
    files = [PurePosixPath(name) for name in others]
    endings = Counter(file.suffix.lower() or "without ending" for file in files if file.name.lower() not in OF_WINDOWS)
    if endings:
        counted = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items()))
        photos = any(ending in PHOTOS for ending in endings)
        remedy = "; convert photos among them to .jpg" if photos else ""
        warnings.warn(
            f"files in '{tree.path}' that are no readable images were passed over: {counted}{remedy}",
            FewShotWarning,
            stacklevel=4,
        )
