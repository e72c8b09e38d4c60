"""Notebooks print what their stored output says, and name no place of one machine."""

import contextlib
import io
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NEEDS = {"own-photos": "caltech101", "reproduce-a-table": "transfer"}


def cells(name):
    """Code and stored text of each cell of code."""
    content = json.loads((FOLDER / f"{name}.ipynb").read_text("utf-8"))
    for cell in (cell for cell in content["cells"] if cell["cell_type"] == "code"):
        text = "".join(line for output in cell["outputs"] for line in output.get("text", []))
        yield "".join(cell["source"]), text


def test_every_notebook_is_tested():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NEEDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDS)
def test_a_notebook_prints_its_output(name, tmp_path, monkeypatch, data_root):
    data_root(NEEDS[name])
    monkeypatch.chdir(tmp_path)
    names = {"__name__": name}
    for code, wanted in cells(name):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, name, "exec"), names)
        assert printed.getvalue() == wanted


@pytest.mark.parametrize("name", NEEDS)
def test_a_notebook_is_executed_and_small(name):
    path = FOLDER / f"{name}.ipynb"
    assert sum(bool(text) for _, text in cells(name)) >= 4
    assert path.stat().st_size < 200_000 and str(Path.home()) not in path.read_text("utf-8")
