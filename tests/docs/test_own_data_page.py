"""What README and docs say about a user's own data: their lines run, on real photographs, and their tables are the record's."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from test_readme import blocks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "own-data.md"
CLASSES = ("accordion", "anchor", "barrel", "chair", "pizza")


@pytest.fixture
def photos(tmp_path, data_root):
    """``photos`` with six pictures of each of five classes, and ``new.jpg`` of the last class."""
    with zipfile.ZipFile(data_root("caltech101") / "caltech101_84px.zip") as archive:
        for name in CLASSES:
            found = sorted(n for n in archive.namelist() if f"/{name}/" in n and n.endswith(".jpg"))
            (tmp_path / "photos" / name).mkdir(parents=True)
            for inside in found[:6]:
                (tmp_path / "photos" / name / Path(inside).name).write_bytes(archive.read(inside))
        (tmp_path / "new.jpg").write_bytes(archive.read(found[6]))
    return tmp_path


def run(code, folder):
    """A process of its own, that could download nothing."""
    environment = {"PATH": "", "HOME": str(folder), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_thirty_photos_become_a_classifier_that_a_second_process_loads(photos):
    first, second = (code for code in blocks(ROOT / "README.md", "python") if "photos" in code)
    assert len(list((photos / "photos").glob("*/*.jpg"))) == 30
    run(first, photos)
    assert {path.name for path in photos.iterdir()} == {"photos", "new.jpg", "photos.safetensors"}
    for path in (photos / "photos").glob("*/*.jpg"):
        path.unlink()  # the file alone must do
    out = run(second, photos)
    label, probabilities = re.fullmatch(r"\['(\w+)'\] \[\[(.*)\]\]\s*", out, re.DOTALL).groups()
    values = np.array(probabilities.split(), float)
    assert label == "pizza" and values.argmax() == 4 and values.sum() == pytest.approx(1, abs=1e-6)


def test_every_block_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found, names = blocks(PAGE, "python"), {"__name__": "page"}
    assert len(found) == 5
    for code in found:
        exec(compile(code, PAGE.name, "exec"), names)
    assert 0.8 < float(capsys.readouterr().out) <= 1


def test_tables_of_the_page_are_those_of_the_record():
    script = ROOT / "benchmarks" / "own_data.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or "run benchmarks/own_data.py --render"
