"""What training and fitting write: weights, checkpoints, saved classifiers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fewshot import FewShotClassifier
from fewshot.backbones.weights import load_weights, save_weights
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSpec
from fewshot.estimator.saving import KEY as CLASSIFIER
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.plumbing.sealed import KEY
from fewshot.training.checkpoint import read_checkpoint, save_checkpoint
from fewshot.training.episodic import EpisodicTraining, train

ROWS = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
LABELS = np.array(["a", "b", "c"] * 4)
PICTURES = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), np.uint8)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def write_weights(folder: Path) -> None:
    made = network()
    made.classes_seen = ("d:a", "d:b")
    save_weights(folder / "w.safetensors", made, {"steps": 2})


def of_first_version(write: Any) -> Any:
    """Makes the same file without its SHA-256, as version 0.1.0 wrote it, so that damage comes through to the check of its form."""

    def written(folder: Path) -> None:
        write(folder)
        (path,) = folder.glob("*.safetensors")
        content = path.read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:end])
        del header["__metadata__"][KEY]
        if CLASSIFIER in header["__metadata__"]:  # schema 2 was the last without a hash, and knew no columns
            said = json.loads(header["__metadata__"][CLASSIFIER]) | {"schema": 2}
            del said["columns"]
            header["__metadata__"][CLASSIFIER] = json.dumps(said, ensure_ascii=False)
        made = json.dumps(header, ensure_ascii=False).encode()
        made += b" " * (-len(made) % 8)
        path.write_bytes(len(made).to_bytes(8, "little") + made + content[end:])

    return written


def write_pickled(folder: Path) -> None:
    torch.save(network().state_dict(), folder / "w.pth")


def read_weights(path: Path) -> Any:
    into = network()
    facts = load_weights(path, into)
    return facts, into.classes_seen, [value.tolist() for value in into.state_dict().values()]


def write_checkpoint(folder: Path) -> None:
    """A whole run; its seconds are set, so that the file is the same every time."""
    run(folder, 2)
    tensors, progress = read_checkpoint(folder / "c.safetensors")
    save_checkpoint(folder / "c.safetensors", tensors, progress | {"seconds": 1.0})


def run(folder: Path, steps: int) -> Any:
    data = Collection.from_arrays(ROWS, LABELS, name="rows")
    torch.manual_seed(0)
    learner = Embedded(nn.Linear(3, 2), NearestMean())
    settings = EpisodicTraining(steps=steps, spec=EpisodeSpec(2, 1, 1), average=0.5, validate_every=1, save_every=1)
    accuracies = iter([0.5, 0.25, 0.5, 0.5])
    state = train(
        learner, data, settings, checkpoint=folder / "c.safetensors", validate=lambda _: next(accuracies, 0.5)
    )
    return state.log(), [value.tolist() for value in learner.state_dict().values()]


def write_classifier(folder: Path) -> None:
    FewShotClassifier("none", "ridge", reject_below=0.4).fit(ROWS, LABELS).save(folder / "f.safetensors")


def write_described(folder: Path) -> None:
    said = {label: ROWS[k] for k, label in enumerate("abc")}
    FewShotClassifier("none", descriptions=said).fit(ROWS, LABELS).save(folder / "f.safetensors")


def write_declared(folder: Path) -> None:
    made = FewShotClassifier("none", "nearest-mean").partial_fit(ROWS, np.arange(12) % 3, classes=[0, 1, 2, 3])
    made.save(folder / "f.safetensors")


def read_classifier(folder: Path) -> Any:
    found = FewShotClassifier.load(folder / "f.safetensors")
    return found.predict_proba(ROWS).tolist(), found.classes_.tolist(), repr(found)


def write_of_pictures(folder: Path) -> None:
    FewShotClassifier("pixels", "nearest-mean").fit(PICTURES, list("abcabc")).save(folder / "f.safetensors")


def read_of_pictures(folder: Path) -> Any:
    found = FewShotClassifier.load(folder / "f.safetensors")
    return found.predict_proba(PICTURES).tolist()


KINDS = [
    ("weights", write_weights, lambda folder: read_weights(folder / "w.safetensors"), 8, (), True),
    (
        "weights without a hash",
        of_first_version(write_weights),
        lambda folder: read_weights(folder / "w.safetensors"),
        8,
    ),
    ("pickled weights", write_pickled, lambda folder: read_weights(folder / "w.pth"), 10),
    ("checkpoint", write_checkpoint, lambda folder: run(folder, 2), 6, (".safetensors",), True),
    (
        "checkpoint without a hash",
        of_first_version(write_checkpoint),
        lambda folder: run(folder, 2),
        8,
        (".safetensors",),
    ),
    ("classifier", write_classifier, read_classifier, 6, (), True),
    ("classifier without a hash", of_first_version(write_classifier), read_classifier, 8),
    ("classifier of descriptions", of_first_version(write_described), read_classifier, 6),
    ("classifier of declared classes", of_first_version(write_declared), read_classifier, 6),
    ("classifier of images", of_first_version(write_of_pictures), read_of_pictures, 6),
]
