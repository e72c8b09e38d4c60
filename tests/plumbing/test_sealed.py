"""Files that carry their SHA-256: checkpoints, weights, features, pixels."""

import hashlib
import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fewshot.backbones.weights import load_weights, save_weights
from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.pixels import decoded
from fewshot.errors import CheckpointError, DataError
from fewshot.plumbing import sealed
from fewshot.plumbing.sealed import Damaged, read_tensors, write_tensors
from fewshot.training.checkpoint import read_checkpoint, save_checkpoint

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2])}
METADATA = {"fewshot": json.dumps({"step": 3, "said": f'"{sealed.KEY}":"{"0" * 64}"'})}


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """Hundreds of small files: what is tested here does not depend on when they reach the disk."""
    monkeypatch.setattr("fewshot.plumbing.files.os.fsync", lambda descriptor: None)


@pytest.fixture
def path(tmp_path):
    return write_tensors(tmp_path / "a.safetensors", TENSORS, METADATA)


def damaged(path):
    """The file with one bit turned, at every byte in turn."""
    whole = path.read_bytes()
    for k in range(len(whole)):
        path.write_bytes(whole[:k] + bytes([whole[k] ^ 1 << k % 8]) + whole[k + 1 :])
        yield k
    path.write_bytes(whole)


def test_what_is_written_is_read_by_this_package_and_by_any_other(path):
    tensors, metadata = read_tensors(path)
    assert metadata == METADATA and tensors.keys() == TENSORS.keys()
    for found in (tensors, load_file(path)):
        assert all(
            torch.equal(found[name], TENSORS[name]) and found[name].dtype == TENSORS[name].dtype for name in TENSORS
        )
    before = path.read_bytes()
    assert write_tensors(path, TENSORS, METADATA).read_bytes() == before


def test_the_hash_is_that_of_the_whole_file_with_zeros_in_its_place(path):
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    digits = header["__metadata__"]["fewshot-sha256"].encode()
    assert content.count(digits) == 1
    assert hashlib.sha256(content.replace(digits, b"0" * 64)).hexdigest().encode() == digits


def test_a_turned_bit_anywhere_is_seen(path):
    for k in damaged(path):
        with pytest.raises(Damaged):
            print(k, read_tensors(path))
    read_tensors(path)


def test_files_without_a_hash_are_read_as_before(tmp_path):
    for metadata in ({"fewshot": "{}"}, None, {"format": "pt", "author": "another"}):
        save_file(TENSORS, tmp_path / "old.safetensors", metadata)
        assert read_tensors(tmp_path / "old.safetensors")[1] == (metadata or {})


@pytest.mark.parametrize("content", [b"", b"12345678", b'{"a": 1}' * 20])
def test_what_is_no_such_file_is_damaged(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(Damaged):
        read_tensors(tmp_path / "a.safetensors")
    with pytest.raises(Damaged, match="No such file"):
        read_tensors(tmp_path / "none.safetensors")


def test_a_large_file_is_hashed_once_as_long_as_it_stays(path, monkeypatch):
    calls, real = [], sealed._hash
    monkeypatch.setattr(sealed, "_hash", lambda *given: calls.append(1) or real(*given))
    for _ in range(2):
        read_tensors(path)
    assert len(calls) == 2
    monkeypatch.setattr(sealed, "REMEMBERED", 1)
    for _ in range(3):
        read_tensors(path)
    assert len(calls) == 3
    os.utime(path, ns=(1, 1))
    read_tensors(path)
    assert len(calls) == 4


def test_a_damaged_checkpoint_is_refused_and_the_remedy_named(tmp_path):
    path = tmp_path / "run.safetensors"
    progress = {"step": 0, "threads": 1, "losses": [], "rates": [], "validations": [], "seconds": 0.0}
    save_checkpoint(path, TENSORS, progress)
    assert read_checkpoint(path)[1] == progress
    content = bytearray(path.read_bytes())
    content[-1] ^= 64
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"bytes that its SHA-256 does not fit; delete it to start anew"):
        read_checkpoint(path)


def test_damaged_weights_are_refused_and_the_network_stays(tmp_path):
    path = save_weights(tmp_path / "a.safetensors", torch.nn.Linear(3, 2), {"seed": 1})
    network = torch.nn.Linear(3, 2)
    before = network.weight.clone()
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="bytes that its SHA-256 does not fit"):
        load_weights(path, network)
    assert torch.equal(network.weight, before)


class Twice:
    """A backbone that counts what it embeds."""

    seen = 0

    def fingerprint(self):
        return "twice"

    def __call__(self, x):
        self.seen += len(x)
        return 2 * x


def test_damaged_features_are_computed_again(own_cache):
    rows = Collection.from_arrays(np.arange(8, dtype=np.float32).reshape(4, 2), [0, 0, 1, 1])
    rows.embed(Twice())
    (path,) = own_cache.rglob("*.safetensors")
    whole, bad = path.read_bytes(), 0
    for _ in damaged(path):
        backbone = Twice()
        assert torch.equal(rows.embed(backbone).items, 2 * torch.from_numpy(rows.items))
        assert backbone.seen == 4 and path.read_bytes() == whole
        bad += 1
    assert bad == len(whole)


PIXELS = np.random.default_rng(0).integers(0, 256, (3, 3, 2, 2), dtype=np.uint8)


def test_damaged_pixels_are_decoded_again(own_cache):
    calls = []

    def images():
        calls.append(1)
        return iter(PIXELS)

    def pixels():
        return decoded("tiny", ["key"], PIXELS.shape, images)

    np.testing.assert_array_equal(pixels(), PIXELS)
    (path,) = own_cache.rglob("*.npy")
    whole = path.read_bytes()
    np.testing.assert_array_equal(np.load(path), PIXELS)
    assert len(calls) == 1 and (len(whole) - PIXELS.nbytes) % 64 == 0
    for count, _ in enumerate(damaged(path), 2):
        np.testing.assert_array_equal(pixels(), PIXELS)
        assert len(calls) == count and path.read_bytes() == whole
    np.save(path, PIXELS)  # as version 0.1.0 wrote it
    pixels()
    assert len(calls) == len(whole) + 1
    path.write_bytes(path.read_bytes() + b"more")
    np.testing.assert_array_equal(pixels(), PIXELS)
    assert len(calls) == len(whole) + 2
