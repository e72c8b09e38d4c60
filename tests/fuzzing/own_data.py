"""Data of a user's own: tables, texts, arrays, folders and zips of images, MATLAB files, Hugging Face folders, caches."""

import csv
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from fewshot import load_dataset
from fewshot.backbones.pixels import Pixels
from fewshot.datasets.collection import Collection
from fewshot.datasets.unlabelled import load_items

ENDINGS = ("png", "jpg", "gif", "bmp", "tif", "webp", "ppm")
WORDS = ("a lost card", "Karte weg, „bitte“", "where is my money?", "wire it, please", "top up", "nothing at all")


def seen(collection: Collection) -> tuple[Any, ...]:
    """All that a collection says, so that every part of it is looked at."""
    parts = [(name, collection.split(name).hash) for name in collection.splits if len(collection.splits[name])]
    rows = collection.take(np.arange(len(collection)))
    described = None if collection.descriptors is None else np.asarray(collection.descriptors).tolist()
    return (
        collection.hash,
        collection.class_names,
        parts,
        len(rows),
        described,
        collection.qualified_names(),
        list(collection.item_names or ()),
    )


def picture(ending: str, seed: int) -> bytes:
    """A small image of an ending."""
    rng, file = np.random.default_rng(seed), io.BytesIO()
    image = Image.fromarray(rng.integers(0, 256, (12, 14, 3), np.uint8))
    modes = {
        "png": ("RGB", "L", "P", "RGBA"),
        "tif": ("RGB", "L", "I;16", "RGBA"),
        "webp": ("RGB", "RGBA"),
        "gif": ("P", "L"),
    }.get(ending, ("RGB", "L"))
    image = (
        image.convert("L").convert("I").convert("I;16")
        if (mode := modes[seed % len(modes)]) == "I;16"
        else image.convert(mode)
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    if ending in ("png", "jpg", "tif", "webp"):
        image.save(file, {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.upper()), exif=exif)
    else:
        image.save(file, ending.upper())
    return file.getvalue()


def write_table(folder: Path) -> None:
    rows = [(WORDS[k % 6] + f" {k}", "xyz"[k % 3], ("train", "val", "test")[k % 3]) for k in range(9)]
    with (folder / "t.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label", "split"), *rows])


def write_tabs(folder: Path) -> None:
    rows = [(WORDS[k % 6], "xyz"[k % 3]) for k in range(6)]
    (folder / "t.tsv").write_text("\n".join("\t".join(row) for row in [("text", "label"), *rows]), encoding="utf-8")


def write_lines(folder: Path) -> None:
    rows = [{"text": WORDS[k % 6], "label": "xyz"[k % 3], "split": ("train", "test")[k % 2]} for k in range(9)]
    (folder / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


def write_image_table(folder: Path) -> None:
    for k in range(3):
        (folder / f"{k}.png").write_bytes(picture("png", k))
    (folder / "t.csv").write_text("path,label\n0.png,a\n1.png,b\n2.png,b\n")


def write_described(folder: Path) -> None:
    write_table(folder)
    (folder / "words.csv").write_text("label,text\nx,a card\ny,some money\nz,a transfer\n")
    (folder / "numbers.csv").write_text("label,tail,legs\nx,1,4\ny,0.5,2\nz,-1,0\n")


def read_described(folder: Path) -> Any:
    return [seen(load_dataset(folder / "t.csv", descriptors=folder / name)) for name in ("words.csv", "numbers.csv")]


def write_text(folder: Path) -> None:
    (folder / "t.txt").write_text("\n".join(WORDS), encoding="utf-8")


def write_arrays(folder: Path) -> None:
    x, y = np.arange(24, dtype=np.float32).reshape(8, 3), np.array([0, 1, 2, 0, 1, 2, 0, 1])
    split = np.array(["train", "test"] * 4)
    np.savez(folder / "a.npz", x=x, y=y, split=split, descriptors=np.eye(3), groups=np.array([0, 0, 1]))


def read_arrays(folder: Path) -> Any:
    return seen(load_dataset(folder / "a.npz")), items(folder / "a.npz")


def items(path: Path) -> Any:
    found = load_items(path, size=8)
    return np.asarray(found.items).tolist(), found.names


def write_folder(folder: Path) -> None:
    for k, ending in enumerate(ENDINGS[:4]):
        place = folder / "own" / ("train" if k % 2 else "test") / "ab"[k // 2 % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{k}.{ending}").write_bytes(picture(ending, k))


def write_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "own.zip", "w") as archive:
        for k, ending in enumerate(("png", "jpg", "png")):
            archive.writestr(zipfile.ZipInfo(f"own/{'ab'[k % 2]}/{k}.{ending}"), picture(ending, k))


def write_image(ending: str, seed: int) -> Any:
    return lambda folder: (folder / f"one.{ending}").write_bytes(picture(ending, seed))


def read_image(ending: str) -> Any:
    return lambda folder: items(folder / f"one.{ending}")


def write_mat(folder: Path) -> None:
    rng, labels = np.random.default_rng(0), np.arange(7).repeat(3)
    seen_rows, positions = np.flatnonzero(labels > 1) + 1, np.arange(1, 22)
    place = folder / "own"
    place.mkdir()
    savemat(
        place / "res101.mat",
        {"features": rng.normal(size=(2, 21)), "labels": labels[:, None] + 1},
        do_compression=False,
    )
    splits = {"att": rng.normal(size=(3, 7)), "allclasses_names": np.array([f"c{k}" for k in range(7)], object)[:, None],
              "trainval_loc": seen_rows[::2, None], "test_seen_loc": seen_rows[1::2, None],
              "test_unseen_loc": positions[labels <= 1][:, None]}  # fmt: skip
    savemat(place / "att_splits.mat", splits, do_compression=True)


def write_hugging_face(folder: Path) -> None:
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, disable_progress_bars

    disable_progress_bars()
    features = Features({"text": Value("string"), "label": ClassLabel(names=["x", "y"])})
    parts = {
        part: Dataset.from_dict({"text": list(WORDS), "label": [0, 1] * 3}, features) for part in ("train", "test")
    }
    DatasetDict(parts).save_to_disk(folder / "own")
    for path in (folder / "own").rglob("state.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"_fingerprint": "f"}))  # a random one otherwise


def write_pixel_cache(folder: Path) -> None:
    """A zip and the cache of a first reading, which is to be damaged."""
    write_zip(folder)
    read_old_zip(folder)


def read_old_zip(folder: Path) -> Any:
    """The zip with a time that does not change, so that its cache is looked at."""
    os.utime(folder / "own.zip", (0, 0))
    return read_zip(folder)


def read_zip(folder: Path) -> Any:
    return seen(load_dataset(folder / "own.zip", size=8))


def write_feature_cache(folder: Path) -> None:
    read_features(folder)


def read_features(folder: Path) -> Any:
    pixels = np.arange(6 * 3 * 4 * 4, dtype=np.uint8).reshape(6, 3, 4, 4)
    whole = Collection.from_arrays(pixels, [0, 1, 2, 0, 1, 2], name="six")
    return whole.embed(Pixels()).items.tolist()


KINDS = [
    ("csv of texts", write_table, lambda folder: (seen(load_dataset(folder / "t.csv")), items(folder / "t.csv")), 12),
    ("tsv of texts", write_tabs, lambda folder: seen(load_dataset(folder / "t.tsv")), 6),
    ("jsonl of texts", write_lines, lambda folder: (seen(load_dataset(folder / "t.jsonl")), items(folder / "t.jsonl")), 12),
    ("csv of images", write_image_table, lambda folder: seen(load_dataset(folder / "t.csv", size=8)), 6, (".csv",)),
    ("csv of descriptors", write_described, read_described, 8, ("words.csv", "numbers.csv")),
    ("txt", write_text, lambda folder: items(folder / "t.txt"), 12),
    ("npz of features", write_arrays, read_arrays, 20),
    ("folder of images", write_folder, lambda folder: seen(load_dataset(folder / "own", size=8)), 8),
    ("zip of images", write_zip, read_zip, 10),
    *((f"{ending} {k + 1}", write_image(ending, k), read_image(ending), 4) for ending in ENDINGS for k in range(4 if ending in ("png", "tif") else 2)),
    ("mat", write_mat, lambda folder: seen(load_dataset(folder / "own")), 2),
    ("Hugging Face folder", write_hugging_face, lambda folder: seen(load_dataset(folder / "own")), 3),
    ("cache of pixels", write_pixel_cache, read_old_zip, 6, (".npy",), True),
    ("cache of features", write_feature_cache, read_features, 6, (".safetensors",), True),
]  # fmt: skip
