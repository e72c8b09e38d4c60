import gc
import os
import shutil
import warnings
from pathlib import Path

import jaxtyping
import pytest
from hypothesis import settings

pytest_plugins = ["slip_hooks"]

settings.register_profile("fewshot", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("fewshot")


@pytest.fixture
def no_shape_hook():
    """Our own errors, not the shape checker's, which answers first while it is on."""
    was = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", was)


def _real_data(name):
    root = os.environ.get("FEWSHOT_DATA")
    if root and (Path(root) / name).is_dir():
        return Path(root) / name
    message = f"needs real data: set FEWSHOT_DATA to a folder that holds '{name}/' (see data/README.md)"
    if os.environ.get("CI") == "true":
        pytest.fail(f"under CI real data must be there; {message}")
    return pytest.skip(message)


@pytest.fixture
def data_root():
    """``data_root("omniglot")``: the folder of a real data set, or a skip that says what is needed."""
    return _real_data


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache folder of the test's own."""
    monkeypatch.setenv("FEWSHOT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def chromium():
    """Path of the system's Chromium, or a skip that says what is needed; under CI it has to be there."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("under CI a Chromium must be on PATH; run scripts/chromium")
    return found or pytest.skip("needs a Chromium on PATH; run scripts/chromium")


def pytest_configure(config):
    """One thread a worker: two workers with threads of their own would wait for each other."""
    if hasattr(config, "workerinput"):
        import torch

        torch.set_num_threads(1)


def pytest_collection_finish():
    """What is imported stays: the garbage collector need not look through it again and again."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _quiet_imports():
    """Warnings of other packages at import time are theirs, not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import accelerate  # noqa: F401
        import sentence_transformers  # noqa: F401
        import torchvision  # noqa: F401
    yield
