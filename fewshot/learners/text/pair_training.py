"""Training a sentence encoder on pairs of texts, by the trainer of sentence-transformers."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from jaxtyping import Integer

from fewshot.learners.text.pairs import draw_pairs
from fewshot.plumbing.names import need

COLUMNS = {"first": "string", "second": "string", "label": "float32"}


def train_on_pairs(
    encoder: Any,
    texts: np.ndarray,
    labels: Integer[np.ndarray, " n"],
    *,
    pairs: str,
    total: int,
    batch: int,
    learning_rate: float,
    seed: int,
) -> None:
    """Lower the squared error of the cosine of each pair to 1 for one class and 0 for two, in place.

    AdamW, a tenth of the steps to warm up, then linear to 0; gradients cut at length 1. The global random state stays as it was.

    Args:
        encoder: A `fewshot.backbones.texts.SentenceNetwork`.
        texts: Examples.
        labels: Their classes.
        pairs: How pairs are drawn, see `fewshot.learners.text.pairs.draw_pairs`.
        total: How many.
        batch: Pairs of a step.
        learning_rate: At its highest.
        seed: Of pairs and dropout.

    Raises:
        MissingExtraError: If the package ``datasets`` is not installed.
    """
    library, datasets = need("sentence_transformers", "text"), need("datasets", "text")
    columns = datasets.Features({name: datasets.Value(kind) for name, kind in COLUMNS.items()})
    steps = -(-total // batch)

    def rows() -> Iterator[dict[str, Any]]:
        for first, second, same in draw_pairs(labels, pairs, total, seed):
            yield {"first": str(texts[first]), "second": str(texts[second]), "label": float(same)}

    with untouched_randomness(), torch.enable_grad(), TemporaryDirectory() as folder:
        arguments = library.SentenceTransformerTrainingArguments(
            folder, max_steps=steps, per_device_train_batch_size=batch, learning_rate=learning_rate,
            warmup_steps=steps // 10, seed=seed, report_to="none", save_strategy="no", logging_strategy="no",
            disable_tqdm=True, use_cpu=encoder.model.device.type == "cpu",
        )  # fmt: skip
        stream = datasets.IterableDataset.from_generator(rows, features=columns)
        loss = _losses().CosineSimilarityLoss(encoder.model)
        trainer = library.SentenceTransformerTrainer(encoder.model, arguments, train_dataset=stream, loss=loss)
        trainer.remove_callback(import_module("transformers").PrinterCallback)  # it prints to stdout
        trainer.train()


def _losses() -> Any:
    try:
        return import_module("sentence_transformers.sentence_transformer.losses")
    except ModuleNotFoundError:  # before version 6
        return import_module("sentence_transformers.losses")


@contextmanager
def untouched_randomness() -> Iterator[None]:
    """The global generators as they were, whatever is done to them inside."""
    own, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(own)
        np.random.set_state(numpys)  # noqa: NPY002
