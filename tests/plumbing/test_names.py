import sys
from importlib.metadata import EntryPoint

import pytest

from fewshot.errors import MissingExtraError, UnknownNameError
from fewshot.plumbing import names

INDEX = {"ordered": "collections:OrderedDict", "counter": "collections:Counter"}


def test_built_in_names():
    from collections import Counter

    assert names.look_up("bag", "counter", INDEX, "fewshot.none") is Counter


def test_the_nearest_name_is_offered():
    with pytest.raises(
        UnknownNameError, match=r"the bag must be a known name, got 'cuonter'; did you mean 'counter'\?"
    ):
        names.look_up("bag", "cuonter", INDEX, "fewshot.none")


def test_without_a_near_name_all_are_listed():
    with pytest.raises(UnknownNameError, match=r"got 'zzz'; known: counter, ordered$"):
        names.look_up("bag", "zzz", INDEX, "fewshot.none")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("neerest", "pixels-nearest-mean-5w1s-3fa9c1d2"),
        ("nearest-meen", "pixels-nearest-mean-5w1s-3fa9c1d2"),
        ("rigde", "conv4-omniglot-ridge-5w1s-77aa01bc"),
    ],
)
def test_a_part_of_a_long_name_is_near_enough(name, found):
    known = ("conv4-omniglot-ridge-5w1s-77aa01bc", "pixels-nearest-mean-5w1s-3fa9c1d2")
    assert str(names.unknown("reference", name, known)).endswith(f"got '{name}'; did you mean '{found}'?")
    assert "known: conv4" in str(names.unknown("reference", "zebra", known))


def write_plug_in(folder, entry):
    """An installed package as pip leaves it: a module, and metadata with its entry points."""
    (folder / "my_plug_in.py").write_text("def make():\n    return 'made'\n")
    metadata = folder / "my_plug_in-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-plug-in\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[fewshot.test]\n{entry}\n")


def test_entry_points_of_installed_packages(tmp_path, monkeypatch):
    write_plug_in(tmp_path, "mine = my_plug_in:make\ncounter = my_plug_in:make")
    monkeypatch.syspath_prepend(tmp_path)
    assert set(names.plug_ins("fewshot.test")) == {"mine", "counter"}
    assert names.look_up("bag", "mine", INDEX, "fewshot.test")() == "made"
    sys.modules.pop("my_plug_in")


def test_a_plug_in_is_loaded_only_when_named_and_never_replaces_a_built_in(tmp_path, monkeypatch):
    write_plug_in(tmp_path, "mine = my_plug_in:make\ncounter = my_plug_in:make")
    monkeypatch.syspath_prepend(tmp_path)
    assert names.look_up("bag", "counter", INDEX, "fewshot.test").__name__ == "Counter"
    assert "my_plug_in" not in sys.modules
    with pytest.raises(UnknownNameError, match="did you mean 'mine'"):
        names.look_up("bag", "mina", INDEX, "fewshot.test")
    assert "my_plug_in" not in sys.modules


def test_a_broken_plug_in_says_what_is_wrong_with_it(monkeypatch):
    point = EntryPoint("broken", "no_such_module_here:make", "fewshot.test")
    monkeypatch.setattr(names, "entry_points", lambda group: [point])
    with pytest.raises(ModuleNotFoundError, match="no_such_module_here"):
        names.look_up("bag", "broken", INDEX, "fewshot.test")


def test_a_missing_package_names_its_extra():
    with pytest.raises(
        MissingExtraError, match=r"needs the package 'no_such_package', .* run: pip install 'fewshot\[images\]'"
    ):
        names.need("no_such_package.part", "images")
    assert names.need("json", "images").dumps([1]) == "[1]"


def test_a_package_that_is_there_but_broken_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "half_package.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency") as caught:
        names.need("half_package", "images")
    assert not isinstance(caught.value, MissingExtraError)
