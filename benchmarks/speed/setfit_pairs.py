"""Race: SetFit on 10 intents of BANKING77, five examples of each, R = 5, all-MiniLM-L6-v2.

Contestants: ours, ``SetFit.adapt`` and answers to 400 test texts, and the package ``setfit``, ``Trainer.train`` and ``predict``.
Equal means: 500 pairs in batches of 16, one epoch, rate 2e-5 with a tenth of warm-up, logistic regression with C = 1. Pairs are drawn by each in
its own way, so answers are compared by their accuracy, not one by one. Texts are those of $FEWSHOT_DATA/banking77.
"""

import warnings
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import race
import torch

from fewshot import SupportSet, load_backbone, load_dataset
from fewshot.learners.text.setfit import SetFit

WAY, SHOT, ASKED, R, CLOSE = 10, 5, 400, 5, 0.1
MODEL = "sentence-transformers:all-MiniLM-L6-v2"


def texts() -> tuple[list[str], np.ndarray, list[str], np.ndarray]:
    """Examples and test texts of ten intents that a seed names, with their classes."""
    data, rng = load_dataset("banking77"), np.random.default_rng(0)
    chosen = rng.choice(len(data.class_names), WAY, replace=False)
    train, test = data.splits["train"], data.splits["test"]
    rows = np.concatenate([rng.choice(train[data.labels[train] == c], SHOT, replace=False) for c in chosen])
    asked = test[np.isin(data.labels[test], chosen)][:ASKED]
    place = {int(c): k for k, c in enumerate(chosen)}
    sides = [
        ([str(t) for t in data.items[of]], np.array([place[int(c)] for c in data.labels[of]])) for of in (rows, asked)
    ]
    return (*sides[0], *sides[1])


def ours(x: list[str], y: np.ndarray, query: list[str]) -> Callable[[], np.ndarray]:
    """Train a copy of the encoder, and answer."""
    learner = SetFit(load_backbone(MODEL), iterations=R)
    asked, array = np.array(query, np.dtypes.StringDType()), np.array(x, np.dtypes.StringDType())
    support = SupportSet(array[None], torch.from_numpy(y)[None], WAY, seed=torch.tensor([0]))

    def answer() -> np.ndarray:
        with torch.no_grad():
            return learner.adapt(support)(asked[None])[0].argmax(-1).numpy()

    return answer


def theirs(x: list[str], y: np.ndarray, query: list[str]) -> Callable[[], np.ndarray]:
    """The same by the package; the model is loaded anew, for training changes it."""
    from copy import deepcopy

    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    body, examples = load_backbone(MODEL).model, Dataset.from_dict({"text": x, "label": y.tolist()})

    def answer() -> np.ndarray:
        model: Any = SetFitModel(model_body=deepcopy(body), model_head=LogisticRegression(max_iter=1000))
        with TemporaryDirectory() as folder:
            settings = TrainingArguments(
                folder, num_iterations=R, num_epochs=1, batch_size=16, body_learning_rate=2e-5, report_to="none",
                save_strategy="no", show_progress_bar=False,
            )  # fmt: skip
            Trainer(model=model, args=settings, train_dataset=examples).train()
        return np.asarray(model.predict(query, show_progress_bar=False))

    return answer


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    arguments, started = race.arguments(__doc__.splitlines()[0], rounds=3), race.machine()
    x, y, query, truth = texts()
    builders = {"fewshot": lambda: ours(x, y, query), "setfit": lambda: theirs(x, y, query)}

    def check(answers: dict[str, np.ndarray]) -> dict[str, float]:
        right = {f"accuracy of {name}": float((found == truth).mean()) for name, found in answers.items()}
        if max(right.values()) - min(right.values()) > CLOSE:
            raise SystemExit(f"accuracies must be within {CLOSE}, got {right}")
        return right

    found = race.run(f"{WAY}-way {SHOT}-shot, R = {R}", race.present(builders), check, arguments.rounds, {})
    race.report("setfit", [found], arguments, started, [])
