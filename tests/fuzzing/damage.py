"""Damage to a file: to its bytes, to its lines, or to what its format says with all checksums right. Deterministic in ``random``."""

import io
import json
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import PurePosixPath
from random import Random

import numpy as np
import yaml
from scipy.io import loadmat, savemat

from fuzzing.structure import STRANGE, altered

FRAGMENTS = [b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x80", b'"', b"'", b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"{",
             b"}", b"[", b"]", b":", b": ", b"- ", b"#", b"&a ", b"*a", b"!!python/object:os.system ", b"!!binary x", b"!!timestamp x", b"2026-13-45",
             b"<<: 1", b"? ", b"%YAML 9", b"---\n", b"1e999", b"-1", b"0x", b"1_0", b"NaN", b"9" * 5000, b"[" * 3000, b'{"a":' * 3000,
             b"\xe2\x80\xa8", b"\xff" * 8, b"\x00" * 64, b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00"]  # fmt: skip


def damaged(name: str, content: bytes, random: Random) -> bytes:
    """The file with one kind of damage; nearly always other bytes than before.

    Args:
        name: Its ending tells what else than bytes can be damaged.
        content: The whole file.
        random: Decides all.
    """
    inside = INSIDE.get(PurePosixPath(name).suffix.lower())
    if inside is not None and random.random() < 0.5:
        with warnings.catch_warnings(), suppress(Exception):  # a member of a zip may not be what its ending says
            warnings.simplefilter("ignore")
            return inside(content, random)
    return _bytes(content, random)


def _bytes(content: bytes, random: Random) -> bytes:
    """Bits turned, a block removed, doubled, moved, blanked or overwritten, bytes exchanged, a fragment put in, or the end cut off."""
    raw, size = bytearray(content), len(content)
    start = random.randrange(size + 1) if random.random() < 0.6 else random.randrange(min(size, 256) + 1)
    stop = min(size, start + int(2 ** random.uniform(0, 10)))
    kind = random.randrange(9)
    if kind <= 1:
        for _ in range(random.choice((1, 1, 1, 2, 8, 64)) if size else 0):
            at = random.randrange(size) if random.random() < 0.5 else random.randrange(min(size, 200))
            raw[at] ^= 1 << random.randrange(8)
    elif kind == 2:
        del raw[start:]
    elif kind == 3:
        del raw[start:stop]
    elif kind == 4:
        raw[start:start] = raw[start:stop] * random.choice((1, 1, 1, 3))
    elif kind == 5:
        raw[start:stop] = random.randbytes(stop - start) if random.random() < 0.5 else bytes(stop - start)
    elif kind == 6:
        raw[start:start] = random.choice(FRAGMENTS)
    elif kind == 7:
        fragment = random.choice(FRAGMENTS)
        raw[start : start + len(fragment)] = fragment
    else:
        for _ in range(random.choice((1, 2, 9)) if size else 0):
            a, b = random.randrange(size), random.randrange(size)
            raw[a], raw[b] = raw[b], raw[a]
    return bytes(raw)


def _json(content: bytes, random: Random) -> bytes:
    return json.dumps(altered(json.loads(content), random), default=str).encode("utf-8")


def _yaml(content: bytes, random: Random) -> bytes:
    tree = altered(yaml.safe_load(content), random)
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=random.random() < 0.5).encode("utf-8", "surrogatepass")


def _lines(content: bytes, random: Random) -> bytes:
    """A line or a cell of a table removed, doubled, moved, emptied or replaced; of ``.jsonl`` what a line says."""
    lines = content.split(b"\n")
    at = random.choice((0, random.randrange(len(lines))))
    if lines[at].startswith(b"{") and random.random() < 0.6:
        lines[at] = _json(lines[at], random)
        return b"\n".join(lines)
    mark = next((mark for mark in (b",", b"\t", b" ") if mark in lines[0]), b",")
    cells, other = lines[at].split(mark), random.randrange(len(lines))
    cell, kind = random.randrange(len(cells)), random.randrange(7)
    strange = str(random.choice(STRANGE)).encode("utf-8", "surrogatepass")
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines[at], lines[other] = lines[other], lines[at]
    elif kind == 2:
        lines.insert(at, lines[other])
    else:
        if kind == 3:
            del cells[cell]
        elif kind == 4:
            cells.insert(cell, cells[cell])
        else:
            cells[cell] = random.choice((b"", strange, cells[cell] * 50))
        lines[at] = mark.join(cells)
    return b"\n".join(lines)


def _safetensors(content: bytes, random: Random) -> bytes:
    """The header: names, types, shapes, places of tensors, and the JSON that a program put into its metadata."""
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    own = header.get("__metadata__", {})
    texts = [key for key, text in own.items() if text.startswith("{")]
    if texts and random.random() < 0.7:
        key = random.choice(texts)
        own[key] = json.dumps(altered(json.loads(own[key]), random), default=str)
    else:
        header = altered(header, random)
    made = json.dumps(header, default=str).encode()
    made += b" " * (-len(made) % 8)
    return (
        (len(made) if random.random() < 0.9 else random.randrange(2 ** random.randrange(1, 64))).to_bytes(8, "little")
        + made
        + data
    )


def _zip(content: bytes, random: Random) -> bytes:
    """A member removed, doubled, renamed, or damaged in itself, with a checksum that is right again."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at, kind = random.randrange(len(members)), random.randrange(8)
    name, inner = members[at]
    if kind == 0:
        del members[at]
    elif kind == 1:
        members.insert(at, random.choice(members))
    elif kind == 2:
        names = [
            f"../{name}",
            f"/{name}",
            name.upper(),
            name[:-1],
            "x",
            f"{name}/",
            f"a/b/{name}",
            ".".join(name),
            "ä.png",
        ]
        members[at] = (random.choice(names) or "x", inner)
    elif kind == 3:
        other = random.randrange(len(members))
        members[at], members[other] = (name, members[other][1]), (members[other][0], inner)
    else:
        members[at] = (name, damaged(name, inner, random))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, inner in members:
            archive.writestr(zipfile.ZipInfo(name), inner)
    return file.getvalue()


def _npy(content: bytes, random: Random) -> bytes:
    """The header of an array: its type, order and shape."""
    size = int.from_bytes(content[8:10], "little")
    header, data = content[10 : 10 + size], content[10 + size :]
    said = eval(header, {"__builtins__": {}})  # of a file that this package wrote
    shape = said["shape"]
    key = random.choice(("descr", "descr", "shape", "shape", "fortran_order", "gone"))
    if key == "descr":
        said[key] = random.choice(["|O", "<f8", "<f4", "<f2", "<i8", ">i4", "|u1", "|b1", "<c8", "<M8[s]", "<m8", "|V3", "<U9", "|S5", "<U1000000",
                                   "x", "", [("a", "<f4")], [("a", "|O")], "<g16", 5, None])  # fmt: skip
    elif key == "shape":
        said[key] = random.choice([(), shape[:-1], (*shape, 1), (1, *shape), shape[::-1], (0,), (-1,), (2**40,), (2**62, 4), (10**6, 10**6),
                                   tuple(n + 1 for n in shape), tuple(n - 1 for n in shape), (0, *shape[1:]), ("a",), 7, None, (1.5,)])  # fmt: skip
    elif key == "gone":
        said.pop(random.choice(list(said)))
    else:
        said[key] = random.choice((True, 2, None, "x"))
    made = repr(said).encode()
    made += b" " * (-(len(made) + 11) % 64) + b"\n"
    return content[:8] + struct.pack("<H", len(made)) + made + data


def _png(content: bytes, random: Random) -> bytes:
    """A chunk removed, doubled, moved or changed, with a checksum that is right again."""
    chunks, at = [], 8
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += size + 12
    at, other, kind = random.randrange(len(chunks)), random.randrange(len(chunks)), random.randrange(6)
    if kind == 0:
        del chunks[at]
    elif kind == 1:
        chunks.insert(at, chunks[other])
    elif kind == 2:
        name = random.choice(
            (
                b"tEXt",
                b"zTXt",
                b"iTXt",
                b"iCCP",
                b"eXIf",
                b"PLTE",
                b"tRNS",
                b"gAMA",
                b"acTL",
                b"fcTL",
                b"fdAT",
                b"pHYs",
                b"ABCD",
            )
        )
        chunks.insert(at, (name, _bytes(random.choice(chunks)[1], random)))
    elif kind == 3:
        chunks[0] = (b"IHDR", bytes([0, 0, 0, random.choice((0, 1, 9, 255)), *chunks[0][1][4:8], random.choice((0, 1, 2, 4, 8, 16, 3)),
                                     random.choice((0, 2, 3, 4, 6, 7)), 0, 0, random.choice((0, 1))]))  # fmt: skip
    else:
        chunks[at] = (chunks[at][0], _bytes(chunks[at][1], random))
    return content[:8] + b"".join(
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big") for name, data in chunks
    )


def _pickle(content: bytes, random: Random) -> bytes:
    """What a pickle holds: keys and values, arrays of another type or shape."""
    tree = pickle.loads(content)  # of a file that this package wrote
    if random.random() < 0.5 and isinstance(tree, dict):
        key = random.choice(list(tree))
        if isinstance(tree[key], np.ndarray):
            return pickle.dumps({**tree, key: _array(tree[key], random)}, protocol=random.choice((2, 4)))
    return pickle.dumps(altered(tree, random), protocol=random.choice((2, 4)))


def _array(array: np.ndarray, random: Random) -> np.ndarray:
    kind = random.randrange(9)
    if kind == 0:
        return array[:-1]
    if kind == 1:
        return array.astype(
            random.choice(("f8", "f4", "i8", "u1", "i1", "U9", "O", "?", "c8", ">i4")), casting="unsafe"
        )
    if kind == 2:
        return array[None]
    if kind == 3:
        return array.ravel()
    if kind == 4:
        return array.T
    if kind == 5:
        return array[:0]
    made = array.copy()
    if made.size and made.dtype.kind in "iuf":
        limits = (
            [0, 1, -1, 2**15, 1.5]
            if made.dtype.kind == "i"
            else [0, 1, 255]
            if made.dtype.kind == "u"
            else [0, -1, 1.5, np.nan, np.inf, 1e30]
        )
        made.ravel()[random.randrange(made.size)] = np.array(random.choice(limits)).astype(made.dtype)
    return made


def _mat(content: bytes, random: Random) -> bytes:
    """A variable gone, renamed, of another type or shape; or cells in place of numbers."""
    known = {key: value for key, value in loadmat(io.BytesIO(content)).items() if not key.startswith("__")}
    key, kind = random.choice(list(known)), random.randrange(6)
    if kind == 0:
        del known[key]
    elif kind == 1:
        known[key + "x"] = known.pop(key)
    elif kind == 2:
        known[key] = random.choice(
            ["text", 1.5, {"a": 1}, [], np.array([["a", 1]], object), True, np.array([[None]], object)]
        )
    else:
        known[key] = _array(np.asarray(known[key]), random)
    file = io.BytesIO()
    try:
        savemat(file, known, do_compression=random.random() < 0.5)
    except (TypeError, ValueError, NotImplementedError, AttributeError):  # what MATLAB cannot hold
        return _bytes(content, random)
    return file.getvalue()


INSIDE: dict[str, Callable[[bytes, Random], bytes]] = {
    ".json": _json, ".yaml": _yaml, ".jsonl": _lines, ".csv": _lines, ".tsv": _lines, ".txt": _lines, ".safetensors": _safetensors, ".zip": _zip,
    ".npz": _zip, ".pth": _zip, ".npy": _npy, ".png": _png, ".pkl": _pickle, ".mat": _mat,
}  # fmt: skip
