"""A hub cache as huggingface_hub leaves it, for tests without a connection."""

import pytest

REVISION = "0" * 40


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """``add(repository, {file name: source})`` puts files into an otherwise empty cache; downloads are off."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def add(repository, files):
        folder = tmp_path / f"models--{repository.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(REVISION)
        for name, source in files.items():
            link = folder / "snapshots" / REVISION / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source)

    return add
