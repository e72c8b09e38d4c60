"""The 20 one-shot runs of Lake et al. (2015): 20-way, 1-shot, within one alphabet, 400 trials.

Lake, Salakhutdinov and Tenenbaum, "Human-level concept learning through probabilistic
program induction", Science 350 (2015), fig. 6A. File: github.com/brendenlake/omniglot,
``all_runs.zip``. Error rates there: people 4.5 %, BPL 3.3 %; modified Hausdorff distance 38.8 %.

The file calls its characters ``class01`` to ``class20``. Their names are known because each
of its 800 images equals one of ``images_evaluation.zip``: 10 alphabets, each in two runs with the
same 20 characters by other drawers. So a learner that was trained on them is found out:
78 of the 200 are among the training characters of the ``vinyals`` split.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.pixels import decoded
from fewshot.datasets.formats.trees import Tree
from fewshot.datasets.location import data_root
from fewshot.datasets.named.omniglot import read_drawings
from fewshot.episodes import FixedEpisodes, IndexEpisodes
from fewshot.errors import DataError, MissingDataError

RUNS, WAY = 20, 20
PIXELS_SHA256 = "ce9a4c2fdeafe9ab68b232d77e62b2d541cb667df2ce4e20657bab97c43fb0e3"  # of all 105x105 images, one bit a pixel, in the order of `image_names`
CHARACTERS = {  # runs 1 and 2 are Atlantean, 3 and 4 Ge_ez, ...; numbers of class01 to class20
    "Atlantean": "1 2 3 4 5 7 8 9 10 13 14 16 19 20 21 22 23 24 25 26",
    "Ge_ez": "1 2 3 4 5 6 8 9 10 12 14 15 16 17 18 20 21 23 24 25",
    "Glagolitic": "1 2 3 5 6 7 14 17 18 19 20 21 26 28 31 34 36 37 40 43",
    "Gurmukhi": "3 6 7 8 9 13 14 15 16 17 31 22 25 26 29 32 33 38 43 44",
    "Kannada": "1 3 5 8 11 12 13 14 19 20 21 23 25 26 27 28 33 35 40 41",
    "Malayalam": "2 4 5 9 13 14 15 16 17 19 20 21 22 25 27 29 30 37 43 46",
    "Manipuri": "3 4 6 8 9 11 12 13 15 17 19 21 22 25 29 33 35 36 37 39",
    "Old_Church_Slavonic_(Cyrillic)": "2 4 5 6 7 8 9 11 12 13 14 15 23 24 25 30 33 41 44 45",
    "Tengwar": "1 2 4 5 7 8 9 10 11 12 13 16 18 19 20 21 22 23 24 25",
    "Tibetan": "1 2 3 5 6 7 8 9 11 13 14 15 21 22 24 33 35 36 38 41",
}


def load_lake_runs(size: int = 105) -> Collection:
    """All 800 images with ink 255 on 0, ``(800, 1, size, size)``, in 200 classes of four drawings.

    Run after run: the 20 training images, then the 20 test images. Use `lake_episodes` to ask
    them as published. Classes have the names that `load_omniglot` gives them.

    Args:
        size: Side of the images in pixels; 105 is the original, 28 fits learners trained on `load_omniglot`.

    Raises:
        MissingDataError: If ``all_runs.zip`` is not below ``$FEWSHOT_DATA/omniglot``.
        DataError: If it is damaged or is not the published file.
    """
    tree = find_runs(data_root("omniglot"))
    answers = read_answers(tree)
    images = image_names()
    names = [f"{alphabet}/character{int(n):02d}" for alphabet, numbers in CHARACTERS.items() for n in numbers.split()]
    labels = np.concatenate([_labels(r, answers) for r in range(RUNS)])
    source, shape = [f"size={size}", *tree.stamps(images)], (len(images), 1, size, size)
    pixels = decoded("lake-runs", source, shape, lambda: read_runs(tree, size))
    groups = np.arange(len(CHARACTERS)).repeat(WAY)
    return Collection(pixels, labels, tuple(names), "lake-runs", "omniglot", images, groups)


def lake_episodes(collection: Collection) -> FixedEpisodes:
    """The 20 published episodes: one support image and one query of each of 20 characters.

    Args:
        collection: From `load_lake_runs`, or an embedding of it.

    Raises:
        DataError: If the collection is another.

    Example:
        ``evaluate(learner, runs, episodes=lake_episodes(runs))``
    """
    if len(collection) != RUNS * 2 * WAY or collection.origin != "omniglot":
        raise DataError(f"the episodes belong to load_lake_runs() with 800 images, got '{collection.name}'")
    return FixedEpisodes([_episode(r, collection.labels) for r in range(RUNS)], "lake-runs")


def find_runs(folder: Path) -> Tree:
    """The zip of the runs, or the folder into which it was extracted.

    Raises:
        MissingDataError: If neither is there.
    """
    for path in (folder / "all_runs.zip", folder / "all_runs"):
        if path.exists():
            return Tree(path)
    raise MissingDataError(
        f"Lake's runs need 'all_runs.zip' in '{folder}', got none; run: fewshot-bench download omniglot"
    )


def read_answers(tree: Tree) -> np.ndarray:
    """Class of each test item, ``(20, 20)`` from 0, as ``class_labels.txt`` of each run says.

    Raises:
        DataError: If a run's file does not give 20 items one of 20 classes each.
    """
    wanted = [f"run{r:02d}/class_labels.txt" for r in range(1, RUNS + 1)]
    absent = sorted(set(wanted) - set(tree.files))
    if absent:
        raise DataError(f"'{tree.path}' must hold {RUNS} runs, got no '{absent[0]}'; fetch it again")
    return np.stack([_parse(name, content.decode("utf-8", "replace")) for name, content in tree.read(wanted)])


def _parse(name: str, text: str) -> np.ndarray:
    pairs = re.findall(r"test/item(\d\d)\.png run\d\d/training/class(\d\d)\.png", text)
    answer = {int(item): int(c) for item, c in pairs}
    if sorted(answer) != list(range(1, WAY + 1)) or sorted(answer.values()) != list(range(1, WAY + 1)):
        raise DataError(
            f"'{name}' must give each of {WAY} items a class of its own, got {len(pairs)} pairs; fetch it again"
        )
    return np.array([answer[i] - 1 for i in range(1, WAY + 1)])


def image_names() -> list[str]:
    """Files of the images, run after run: the examples, then the queries."""
    numbers = range(1, WAY + 1)
    parts = [f"training/class{k:02d}.png" for k in numbers] + [f"test/item{k:02d}.png" for k in numbers]
    return [f"run{r:02d}/{part}" for r in range(1, RUNS + 1) for part in parts]


def read_runs(tree: Tree, size: int) -> Iterator[np.ndarray]:
    """Images ``(1, size, size)`` of all runs, verified at the end; see `fewshot.datasets.named.omniglot.read_drawings`."""
    return read_drawings(tree.read(image_names()), size, PIXELS_SHA256)


def _labels(run: int, answers: np.ndarray) -> np.ndarray:
    """Class ids of the training and test images of a run; two runs share an alphabet."""
    first = run // 2 * WAY
    return np.concatenate([first + np.arange(WAY), first + answers[run]])


def _episode(run: int, labels: np.ndarray) -> IndexEpisodes:
    support = np.arange(run * 2 * WAY, run * 2 * WAY + WAY)
    classes = labels[support]
    query_y = np.argsort(classes)[np.searchsorted(np.sort(classes), labels[support + WAY])]
    return IndexEpisodes(np.asarray(run), classes, support, np.arange(WAY), support + WAY, query_y)
