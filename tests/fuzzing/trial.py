"""One input: whole files with one damage, read; and what came of it."""

import atexit
import hashlib
import os
import shutil
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from random import Random

import torch

from fewshot.errors import FewShotError, FewShotWarning
from fewshot.plumbing import names
from fuzzing.damage import damaged
from fuzzing.kinds import KINDS, Kind
from fuzzing.outcome import Outcome

MOST = 2000
"""Letters of a sentence."""


def nth(seed: int, number: int) -> tuple[Kind, Random]:
    """Kind and randomness of an input, by nothing but seed and number."""
    random = Random(f"{seed}/{number}")
    names, weights = list(KINDS), [kind.weight for kind in KINDS.values()]
    return KINDS[random.choices(names, weights)[0]], random


def attempt(seed: int, number: int) -> Outcome:
    """Damage the files of an input and read them."""
    kind, random = nth(seed, number)
    files = whole(kind.name)
    names = [name for name in sorted(files) if not kind.only or name.endswith(kind.only)]
    name = random.choice(names)
    made = {**files, name: damaged(name, files[name], random)}
    if random.random() < 0.02:
        del made[name]
    expected = whole_answer(kind.name)
    with place(made) as folder:
        return judged(kind, folder, expected)


def prepare() -> None:
    """What a process does first: read whole files of every kind, on one thread."""
    torch.set_num_threads(1)
    for name in KINDS:
        whole_answer(name)


attempt.prepare = prepare  # type: ignore[attr-defined]


def judged(kind: Kind, folder: Path, expected: str) -> Outcome:
    try:
        found = answer(kind, folder)
    except FewShotError as error:
        return _sentence(error)
    except Exception as error:
        return Outcome("raw", _place(error), f"{type(error).__name__}: {error}"[:300])
    return Outcome("as whole" if found == expected else "another answer")


def _sentence(error: FewShotError) -> Outcome:
    text = str(error)
    try:
        text.encode()
    except UnicodeEncodeError:
        return Outcome("raw", _place(error), f"cannot be printed: {text!r}"[:300])
    if not text or len(text) > MOST or not text.isprintable():
        return Outcome("raw", _place(error), f"no sentence: {text!r}"[:300])
    return Outcome("refused", _place(error), text)


def answer(kind: Kind, folder: Path) -> str:
    """Hash of what the reader returns; warnings are errors."""
    with warnings.catch_warnings(), _settings(folder):
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", FewShotWarning)
        found = repr(kind.read(folder)).replace(str(folder), "")
    return hashlib.sha256(found.encode("utf-8", "surrogatepass")).hexdigest()


entry_points_once = lru_cache(names.entry_points)  # the metadata of all packages are read at every name: for speed


@contextmanager
def _settings(folder: Path) -> Iterator[None]:
    was = os.environ.get("FEWSHOT_CACHE"), Path.cwd(), names.entry_points
    names.entry_points = entry_points_once  # type: ignore[attr-defined]
    os.environ["FEWSHOT_CACHE"] = str(folder / "cache")
    os.chdir(folder)
    try:
        yield
    finally:
        names.entry_points = was[2]
        os.chdir(was[1])
        os.environ.pop("FEWSHOT_CACHE")
        if was[0] is not None:
            os.environ["FEWSHOT_CACHE"] = was[0]


@cache
def whole(name: str) -> dict[str, bytes]:
    """The whole files of a kind, and those that reading them leaves behind."""
    with place({}) as folder, warnings.catch_warnings(), _settings(folder):
        warnings.simplefilter("ignore")
        KINDS[name].make(folder)
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }


@cache
def whole_answer(name: str) -> str:
    """What reading whole files gives."""
    with place(whole(name)) as folder:
        return answer(KINDS[name], folder)


@cache
def workshop() -> Path:
    """The folder of this process; in memory where there is such a place, for speed."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@contextmanager
def place(files: dict[str, bytes]) -> Iterator[Path]:
    """A folder with these files, for a while; always of one name, which keys of caches hold."""
    folder = workshop() / "files"
    folder.mkdir()
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield folder
    finally:
        shutil.rmtree(folder)


def _place(error: BaseException) -> str:
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [(Path(name), line) for name, line in frames if f"{os.sep}fewshot{os.sep}" in name]
    if not own:
        return "elsewhere"
    path, line = own[-1]
    inside = path.parts[len(path.parts) - path.parts[::-1].index("fewshot") - 1 :]
    return f"{'/'.join(inside)}:{line}"
