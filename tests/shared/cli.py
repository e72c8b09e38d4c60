"""What the tests of the command line share: a call in this process, and small data."""

import json

import numpy as np
from typer.testing import CliRunner

from fewshot.cli.main import app


def call(*arguments, code=0):
    """Result of a command in this process; the exit code is checked, and that no error escaped."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr)
    return result


def as_json(*arguments, code=0):
    """The one document that a command prints with ``--json``."""
    return json.loads(call(*arguments, "--json", code=code).stdout)


def refused(*arguments):
    """The one sentence of a refusal: exit code 2, nothing on stdout, no traceback."""
    result = call(*arguments, code=2)
    assert result.stdout == "" and "Traceback" not in result.stderr
    lines = result.stderr.strip().splitlines()
    assert len([line for line in lines if line.lower().startswith("error:")]) == 1
    return lines[-1]


def write_shapes(path, classes=7, items=24, spread=0.8):
    """A ``.npz`` with Gaussian classes in eight dimensions."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(classes), items)
    x = rng.normal(size=(classes, 8))[y] + spread * rng.normal(size=(len(y), 8))
    np.savez(path, x=x.astype(np.float32), y=y)
    return path
