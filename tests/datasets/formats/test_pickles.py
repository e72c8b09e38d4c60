import io
import os
import pickle
import pickletools

import numpy as np
import pytest
from old_pickles import old_pickle

from fewshot.datasets.formats.pickles import ADMITTED, entry, read_arrays_of, read_pickle
from fewshot.errors import DataError, MissingDataError

CONTENT = {
    "image_data": np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3),
    "class_dict": {"n01": [0], "n02": [1]},
    "floats": np.linspace(0, 1, 5),
    "turned": np.arange(6, dtype=np.int64).reshape(2, 3).T,
    "names": np.array(["a", "bc"]),
    "raw": b"\x89PNG\xff",
}


def read(content, name="made.pkl"):
    return read_arrays_of(io.BytesIO(content), name)


def equal(got):
    assert got.keys() == CONTENT.keys() and got["class_dict"] == CONTENT["class_dict"]
    for key in ("image_data", "floats", "turned"):
        assert got[key].dtype == CONTENT[key].dtype
        np.testing.assert_array_equal(got[key], CONTENT[key])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_this_numpy_are_read(protocol):
    got = read(pickle.dumps(CONTENT, protocol))
    equal(got)
    assert got["raw"] == CONTENT["raw"] and got["names"].tolist() == ["a", "bc"]


def test_pickles_of_numpy_1_are_read():
    new = pickle.dumps(CONTENT, 2)
    old = new.replace(b"cnumpy._core.", b"cnumpy.core.")
    assert old != new
    equal(read(old))


def test_pickles_of_python_2_are_read_without_a_warning():
    content = old_pickle({k: v for k, v in CONTENT.items() if k != "names"} | {"names": ["a", "bc"]})
    names = {argument for _, argument, _ in pickletools.genops(content) if isinstance(argument, str)}
    assert "numpy.core.multiarray _reconstruct" in names and not any("_core" in name for name in names)
    got = read(content)
    equal(got)
    assert got["raw"] == "\x89PNG\xff" and got["names"] == ["a", "bc"]


class Calls:
    """A pickle that calls a function when it is read."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_is_run(tmp_path, protocol):
    path = tmp_path / "made"
    content = pickle.dumps({"image_data": CONTENT["image_data"], "more": Calls(os.mkdir, str(path))}, protocol)
    pickle.loads(content)
    assert path.exists()  # the pickle does what it says, elsewhere
    path.rmdir()
    with pytest.raises(DataError, match=r"'made.pkl' is not read: a pickle of a data set may hold .* got '.*mkdir'"):
        read(content)
    assert not path.exists()


@pytest.mark.parametrize(
    "name",
    ["builtins.eval", "__builtin__.eval", "os.system", "posix.system", "numpy.load", "numpy.core.multiarray.scalar",
     "numpy.ndarray.tofile", "codecs.encode", "builtins.getattr", "functools.partial", "copyreg._reconstructor"],
)  # fmt: skip
def test_other_names_are_refused(name):
    module, _, attribute = name.rpartition(".")
    if name == "numpy.ndarray.tofile":
        content = b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."  # a dotted name, which protocol 4 follows
    else:
        content = f"c{module}\n{attribute}\n.".encode()
    with pytest.raises(DataError, match=f"got '{name}'; fetch it from its publisher"):
        read(content)


def test_what_is_admitted_cannot_be_changed_by_a_pickle():
    before = {key: getattr(call, "__dict__", None) for key, call in ADMITTED.items()}
    for state in ({"x": 1}, (None, {"__defaults__": (1,)}), (None, {"__call__": 1})):
        for module, name in ADMITTED:
            made = f"c{module}\n{name}\n".encode() + pickle.dumps(state, 2)[2:-1] + b"b."
            with pytest.raises(DataError):
                read(made)
    assert {key: getattr(call, "__dict__", None) for key, call in ADMITTED.items()} == before
    equal(read(pickle.dumps(CONTENT)))


def test_other_codecs_are_refused():
    with pytest.raises(DataError, match="must encode bytes as latin1, got 'rot13'"):
        read(b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.")


@pytest.mark.parametrize("cut", [0, 1, 20, 100, -1])
def test_damage_is_told(cut):
    with pytest.raises(DataError, match=r"'made.pkl' must be a whole pickle of arrays, got: .*; fetch it again"):
        read(pickle.dumps(CONTENT)[:cut])


def test_no_pickle_and_no_file(tmp_path):
    with pytest.raises(DataError, match="whole pickle of arrays"):
        read(b"<html>not found</html>")
    with pytest.raises(MissingDataError, match=r"absent.pkl' must be a file of the data set, got none"):
        read_pickle(tmp_path / "absent.pkl")


def test_entries():
    assert entry({b"data": 1, "labels": 2}, "data", "x") == 1
    with pytest.raises(DataError, match=r"'x' must hold a dict with 'data', got \['labels'\]; fetch it again"):
        entry({"labels": 2}, "data", "x")
    with pytest.raises(DataError, match="'x' must hold a dict with 'data', got list"):
        entry([1], "data", "x")
