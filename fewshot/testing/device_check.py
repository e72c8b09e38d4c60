"""A device on trial: every learner on it, training with validation and resume, answers against the CPU's, speeds.

All episodes of a learner have one shape, since some devices compile anew for each.
"""

import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewshot.backbones.index import load_backbone
from fewshot.contract import SupportSet
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSpec
from fewshot.evaluation.answers import eval_mode, score
from fewshot.evaluation.describe import made_with
from fewshot.evaluation.evaluate import evaluate
from fewshot.learners.index import LEARNERS
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.plumbing.device import CPU, device_named, on_device, settle
from fewshot.testing.every_learner import NOT_TRIED, Case, case_of
from fewshot.testing.side_effects import global_state_kept
from fewshot.training.episodic import EpisodicTraining, train

CLOSE = 1e-2  # of the largest score: cards multiply floats with fewer digits, and learners take steps on top of that
SPEC = EpisodeSpec(5, 1, 5)
TRAINING = EpisodicTraining(SPEC, steps=6, validate_every=3, save_every=3)
TRIED = set(LEARNERS) - set(NOT_TRIED)
WORKERS, A_PROCESS = 2, 8
"""Processes on XLA, and learners of each: its compiler maps memory for every program, and a process may map so much only."""
LACKING = re.compile(
    r"not (currently )?(implemented|supported)|unimplemented|unsupported|doesn't support|could not run", re.I
)


def check_device(device: torch.device, only: Iterable[str] = (), told: Callable[[str], None] = print) -> dict[str, Any]:
    """Try a device; JSON can hold what comes of it.

    Args:
        device: To try.
        only: Names of learners; all when left out.
        told: Called with a line for each part that is done.

    Returns:
        ``learners`` with a word for each: ``"agrees"``, ``"lacks an operation"``, ``"differs"`` or ``"fails"``, and the largest
        difference from the CPU's scores, as a share of the largest score; ``training``; ``speeds``; ``passes``: whether
        no learner differs or fails, and training agrees.
    """
    started, wanted = time.perf_counter(), set(only)
    learners = {}
    with global_state_kept():
        trained = _training(device)
        told(f"training: {trained}")
        speeds = {"device": _speeds(device), "cpu": _speeds(CPU)}
        told(f"speeds: {speeds}")
        for name, found in _all_tried(sorted(wanted & TRIED if wanted else TRIED), device):
            learners[name] = found
            told(f"{name}: {found}")
    words = {one["word"] for one in learners.values()}
    return {
        **made_with(device),
        "name": _name(device),
        "passes": trained["agrees"] and words <= {"agrees", "lacks an operation"},
        "lacking": sorted(name for name, one in learners.items() if one["word"] == "lacks an operation"),
        "not_tried": NOT_TRIED,
        "learners": learners,
        "training": trained,
        "speeds": speeds,
        "seconds": round(time.perf_counter() - started, 1),
    }


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _all_tried(wanted: list[str], device: torch.device) -> Iterator[tuple[str, dict[str, Any]]]:
    """What became of each learner; on XLA a few at a time in processes of their own."""
    if device.type != "xla":
        yield from ((name, _tried(case_of(name), device)) for name in wanted)
        return
    with ProcessPoolExecutor(WORKERS, get_context("spawn"), max_tasks_per_child=A_PROCESS) as pool:
        yield from zip(wanted, pool.map(_tried_by_name, wanted, repeat(str(device))), strict=True)


def _tried_by_name(name: str, device: str) -> dict[str, Any]:
    there = device_named(device)  # before any gradient: torch counts devices when it computes its first one
    return _tried(case_of(name), there)


def _tried(case: Case, device: torch.device) -> dict[str, Any]:
    """What became of a learner on the device."""
    started = time.perf_counter()
    try:
        found = _battery(case, device)
    except Exception as error:  # whatever a device raises where it lacks an operation
        reason = (str(error).splitlines() or [""])[0][:160]
        lacks = isinstance(error, NotImplementedError) or LACKING.search(str(error))
        found = {"word": "lacks an operation" if lacks else "fails", "reason": f"{type(error).__name__}: {reason}"}
    return found | {"seconds": round(time.perf_counter() - started, 2)}


def _battery(case: Case, device: torch.device) -> dict[str, Any]:
    """Scores lie on the device and are those of the CPU; the same again, and with classes renamed, but for rounding."""
    here = _scores(case.learner, case.round.support, case.round.query)
    there = on_device(case.learner, device)
    support, query = case.round.support.to(device), case.round.query.to(device)
    first, again = (_scores(there, support, query) for _ in range(2))
    if first.device != device:
        return {"word": "fails", "reason": f"scores are on {first.device}"}
    gaps = {"difference": _gap(here, first.cpu()), "repeated": _gap(first.cpu(), again.cpu())}
    same = float((here.argmax(-1) == first.cpu().argmax(-1)).float().mean())
    return {"word": "agrees" if max(gaps.values()) <= CLOSE else "differs", **gaps, "same_answers": round(same, 4)}


def _scores(learner: Any, support: SupportSet[Any], query: Tensor) -> Tensor:
    with eval_mode(learner):
        return score(learner, support, query)


def _gap(one: Tensor, other: Tensor) -> float:
    """Largest difference as a share of the largest score."""
    return float(f"{float((one - other).abs().max() / one.abs().max().clamp(min=1e-30)):.2e}")


def _pictures(seed: int) -> Collection:
    rng, y = np.random.default_rng(seed), np.arange(10).repeat(12)
    x = rng.uniform(0, 255, (10, 1, 28, 28))[y] + rng.normal(0, 90, (120, 1, 28, 28))
    return Collection.from_arrays(x.clip(0, 255).astype(np.uint8), y, name=f"pictures {seed}")


def _training(device: torch.device) -> dict[str, Any]:
    """A network on episodes, with validation; the run that stops half-way and resumes has the same losses."""
    with tempfile.TemporaryDirectory() as folder:
        here, there = _run(CPU), _run(device)
        path = Path(folder) / "run.safetensors"
        _run(device, checkpoint=path, stop_at=3)
        resumed = _run(device, checkpoint=path)
    gap = float(np.max(np.abs(np.subtract(here.losses, there.losses))))
    again = float(np.max(np.abs(np.subtract(there.losses, resumed.losses))))
    validated = [accuracy for _, accuracy in there.validations]
    return {
        "agrees": bool(gap <= CLOSE * max(here.losses) and again <= CLOSE * max(here.losses)),
        "losses": [float(f"{loss:.4g}") for loss in there.losses],
        "difference": float(f"{gap:.2e}"),
        "resumed": float(f"{again:.2e}"),
        "validations": validated,
        "validations_on_the_cpu": [accuracy for _, accuracy in here.validations],
    }


class _Stopped(Exception):
    """Ends a run half-way, as a kill would."""


def _run(device: torch.device, checkpoint: Path | None = None, stop_at: int | None = None) -> Any:
    learner, data, novel = Embedded(load_backbone("conv4", seed=0), NearestMean()), _pictures(0), _pictures(1)

    def report(progress: Any) -> None:
        if progress.state.step == stop_at:
            raise _Stopped

    def validate(one: Any) -> float:
        return evaluate(one, novel, SPEC, 20, cache=False).accuracy

    try:
        return train(learner, data, TRAINING, validate=validate, checkpoint=checkpoint, report=report, device=device)
    except _Stopped:
        return None


def _speeds(device: torch.device) -> dict[str, float]:
    """Images a second through Conv-4, and episodes a second of nearest means on its features; after one pass to warm up."""
    backbone, data = on_device(load_backbone("conv4", seed=0).eval(), device), _pictures(0)
    images = data.take(np.arange(120)).float().repeat(4, 1, 1, 1).to(device) / 255
    rows = Collection.from_arrays(np.random.default_rng(0).normal(size=(120, 64)).astype(np.float32), data.labels)

    def embed() -> None:
        with torch.no_grad():
            backbone(images).cpu()
        settle(device)

    def episodes() -> None:
        evaluate(NearestMean(), rows, SPEC, 256, batch=64, device=device, cache=False)

    return {"images_per_second": _rate(embed, len(images)), "episodes_per_second": _rate(episodes, 256)}


def _rate(pass_: Callable[[], None], count: int) -> float:
    pass_()
    started = time.perf_counter()
    pass_()
    return round(count / (time.perf_counter() - started), 1)
