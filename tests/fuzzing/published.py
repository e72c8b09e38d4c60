"""Files of published data sets: pickles of miniImageNet, tieredImageNet and CIFAR-100, lists of splits, JSON and lists of others."""

import gzip
import io
import json
import pickle
import tarfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import yaml
from old_pickles import old_pickle

from fewshot.datasets.class_splits import hash_of, load_class_split, read_class_split
from fewshot.datasets.formats.image_caches import cache_pixels, read_caches
from fewshot.datasets.formats.image_lists import read_lists
from fewshot.datasets.formats.trees import Tree
from fewshot.datasets.named import banking77, cifar100, cub, fewrel, tiered_imagenet
from fewshot.datasets.named.lake_runs import read_answers
from fuzzing.own_data import picture, seen

PARTS = ("train", "val", "test")
SMALL = [
    (cifar100, "IMAGES", {"train": 1, "test": 1}),
    (tiered_imagenet, "COUNTS", {"train": 2, "val": 2, "test": 2}),
    (tiered_imagenet, "SIDE", 8),
]
"""Published counts, made small: a damaged file of a gigabyte is read no other way."""


def small(read: Any, folder: Path) -> Any:
    with ExitStack() as stack:
        for module, name, value in SMALL:
            stack.enter_context(patch.object(module, name, value))
        return read(folder)


def write_mini(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for part in PARTS:
        content = {
            "image_data": rng.integers(0, 256, (4, 6, 6, 3), np.uint8),
            "class_dict": {f"{part}a": [0, 2], f"{part}b": [1, 3]},
        }
        (folder / f"{part}.pkl").write_bytes(pickle.dumps(content))


def read_mini(folder: Path) -> Any:
    files = {part: folder / f"{part}.pkl" for part in PARTS}
    parts = read_caches(files)
    return parts, cache_pixels("mini", files, sum(len(p.names) for p in parts.values()), "direct", 8).tolist()


def write_tiered(folder: Path) -> None:
    place = folder / "tiered-imagenet"
    place.mkdir()
    for part in PARTS:
        labels = {"label_specific": np.array([0, 1, 0]), "label_general": np.array([0, 0, 0]), "label_specific_str": [f"{part} a", f"{part} b"],
                  "label_general_str": ["thing"]}  # fmt: skip
        (place / f"{part}_labels.pkl").write_bytes(pickle.dumps(labels))
        images = [np.frombuffer(picture("png", k), np.uint8)[:, None] for k in range(3)]
        (place / f"{part}_images_png.pkl").write_bytes(pickle.dumps(images))


def read_tiered(folder: Path) -> Any:
    with patch.dict("os.environ", {"FEWSHOT_DATA": str(folder)}):
        return small(lambda _: seen(tiered_imagenet.load_tiered_imagenet()), folder)


def cifar_contents() -> dict[str, Any]:
    names = sorted({name for part in load_class_split("cifar-fs").parts.values() for name in part})
    pixels, labels = np.zeros((100, 3072), np.uint8), np.arange(100)
    one = {"data": pixels, "fine_labels": labels.tolist(), "coarse_labels": (labels // 5).tolist()}
    return {
        "train": one,
        "test": one,
        "meta": {"fine_label_names": names, "coarse_label_names": [f"g{k}" for k in range(20)]},
    }


def write_cifar(folder: Path) -> None:
    place = folder / "cifar-100" / "cifar-100-python"
    place.mkdir(parents=True)
    for file, content in cifar_contents().items():
        (place / file).write_bytes(old_pickle(content) if file == "meta" else pickle.dumps(content))


def write_cifar_archive(folder: Path) -> None:
    (folder / "cifar-100").mkdir()
    path = folder / "cifar-100" / "cifar-100-python.tar.gz"
    with gzip.GzipFile(path, "wb", mtime=0) as file, tarfile.open(fileobj=file, mode="w") as archive:
        for file, content in cifar_contents().items():
            raw = pickle.dumps(content)
            info = tarfile.TarInfo(f"cifar-100-python/{file}")
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))


def read_cifar(folder: Path) -> Any:
    with patch.dict("os.environ", {"FEWSHOT_DATA": str(folder)}):
        return small(lambda _: seen(cifar100.load_cifar_fs()), folder)


def write_lists(folder: Path) -> None:
    (folder / "images").mkdir()
    for part in PARTS:
        (folder / f"{part}.csv").write_text(f"filename,label\n{part}0.jpg,{part}a\n{part}1.jpg,{part}b\n")
        for k in range(2):
            (folder / "images" / f"{part}{k}.jpg").write_bytes(picture("jpg", k))


def write_split(folder: Path) -> None:
    parts = {part: (f"{part} a", f"{part} b") for part in PARTS}
    content = {"rule": "by name", **{part: list(names) for part, names in parts.items()}, "sha256": hash_of(parts)}
    (folder / "split.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def write_runs(folder: Path) -> None:
    for run in range(1, 21):
        place = folder / "all_runs" / f"run{run:02d}"
        place.mkdir(parents=True)
        lines = [f"run{run:02d}/test/item{k:02d}.png run{run:02d}/training/class{k:02d}.png" for k in range(1, 21)]
        (place / "class_labels.txt").write_text("\n".join(lines))


def write_cub(folder: Path) -> None:
    (folder / "attributes").mkdir()
    (folder / "classes.txt").write_text("1 001.Auk\n2 002.Owl\n")
    (folder / "images.txt").write_text("1 001.Auk/a.jpg\n2 002.Owl/b.jpg\n3 002.Owl/c.jpg\n")
    (folder / "image_class_labels.txt").write_text("1 1\n2 2\n3 2\n")
    (folder / "bounding_boxes.txt").write_text("1 0.0 1.0 2.0 3.0\n2 1.0 1.0 5.0 5.0\n3 0.0 0.0 4.0 4.0\n")
    (folder / cub.ATTRIBUTES).write_text("0.5 1.0\n2.5 0.25\n")


def read_cub(folder: Path) -> Any:
    with patch.object(cub, "CLASSES", 2):
        names, images = (
            [line[0] for line in cub._numbered(folder / f"{of}.txt", n)] for of, n in (("classes", 2), ("images", 3))
        )
        boxes = [cub._box(line) for line in cub._numbered(folder / "bounding_boxes.txt", 3)]
        return (
            names,
            images,
            cub._labels(folder, images, names).tolist(),
            boxes,
            cub._attributes(folder / cub.ATTRIBUTES),
        )


def write_texts(folder: Path) -> None:
    for name in ("fewrel", "clinc150", "banking77"):
        (folder / name).mkdir()
    rows = [
        {"tokens": ["the", "old", "bridge", str(k)], "h": ["bridge", "Q1", [[2]]], "t": ["old", "Q2", [[1]]]}
        for k in range(2)
    ]
    (folder / "fewrel" / "val_wiki.json").write_text(json.dumps({"P1": rows, "P2": rows}))
    (folder / "fewrel" / "pid2name.json").write_text(
        json.dumps({"P1": ["one", "the first"], "P2": ["two", "the second"]})
    )
    for part, _ in banking77.COUNTS.items():
        (folder / "banking77" / f"{part}.csv").write_text("text,category\nwhere is it,lost\nsend it,send\n")
    clinc_files(folder / "clinc150")


def clinc_files(folder: Path) -> None:
    parts = {
        f"{kind}{part}": [[f"{part} {k}", "oos" if kind else "greet"] for k in range(2)]
        for part in PARTS
        for kind in ("", "oos_")
    }
    (folder / "data_full.json").write_text(json.dumps(parts))
    (folder / "domains.json").write_text(json.dumps({"small talk": ["greet"]}))


def read_texts(folder: Path) -> Any:
    with ExitStack() as stack:
        stack.enter_context(patch.dict("os.environ", {"FEWSHOT_DATA": str(folder)}))
        stack.enter_context(patch.object(fewrel, "COUNTS", {"wiki": (2, 2)}))
        stack.enter_context(patch.object(banking77, "COUNTS", dict.fromkeys(banking77.COUNTS, 2)))
        return seen(fewrel.load_fewrel()), seen(banking77.load_banking77())


KINDS = [
    ("pickles of miniImageNet", write_mini, read_mini, 10),
    ("pickles of tieredImageNet", write_tiered, read_tiered, 6),
    ("pickles of CIFAR-100", write_cifar, read_cifar, 3),
    ("archive of CIFAR-100", write_cifar_archive, read_cifar, 2),
    ("lists of splits", write_lists, lambda folder: read_lists(folder, folder / "images"), 8, (".csv",)),
    ("list of a split", write_split, lambda folder: read_class_split(folder / "split.yaml").parts, 5, (), True),
    ("published episodes", write_runs, lambda folder: read_answers(Tree(folder / "all_runs")).tolist(), 2),
    ("lists of CUB", write_cub, read_cub, 8),
    ("texts of FewRel and BANKING77", write_texts, read_texts, 8, (".json", ".csv")),
]  # fmt: skip
