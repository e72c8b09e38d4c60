import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fewshot.errors import DataError
from fewshot.plumbing import files


def left_over(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_writes_whole_files_and_makes_folders(tmp_path):
    path = files.write_bytes(tmp_path / "a" / "b" / "c.bin", b"xyz")
    assert path.read_bytes() == b"xyz"
    files.write_text(path, "grün")
    assert path.read_bytes() == "grün".encode()
    files.write_json(path, {"ü": [1, 2.5, None]})
    assert json.loads(path.read_text()) == {"ü": [1, 2.5, None]}
    assert "ü" in path.read_text()
    assert left_over(tmp_path) == ["c.bin"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_an_error_while_filling_leaves_the_old_file(tmp_path):
    path = files.write_bytes(tmp_path / "c.bin", b"old")

    def fill(file):
        file.write(b"half of it")
        raise KeyError("broken off")

    with pytest.raises(KeyError, match="broken off"):
        files.write(path, fill)
    assert path.read_bytes() == b"old"
    assert left_over(tmp_path) == ["c.bin"]


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"accuracy": float("nan")})
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, step):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, step, full)
    with pytest.raises(DataError, match="must be writable, got 'No space left on device'; free some space") as caught:
        files.write_bytes(tmp_path / "x.bin", b"x")
    assert str(tmp_path / "x.bin") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert left_over(tmp_path) == []


def test_a_disk_that_fills_up_while_writing(tmp_path):
    def fill(file):
        file.write(b"x" * 100)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DataError, match="No space left on device"):
        files.write(tmp_path / "x.bin", fill)
    assert left_over(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full, which Linux has")
def test_a_disk_that_is_really_full(tmp_path, monkeypatch):
    """The kernel's own error, when the buffer is flushed to a device that is always full."""
    taken = tmp_path / ".taken"
    taken.touch()
    monkeypatch.setattr(files, "open_temporary", lambda folder: (os.open("/dev/full", os.O_WRONLY), str(taken)))
    with pytest.raises(DataError, match="No space left on device"):
        files.write_bytes(tmp_path / "x.bin", b"x" * 10)
    assert left_over(tmp_path) == []


def test_a_read_only_folder_is_one_sentence(tmp_path, monkeypatch):
    def refused(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(files, "open_temporary", refused)
    with pytest.raises(DataError, match=r"got 'Read-only file system'; .* choose another folder"):
        files.write_bytes(tmp_path / "x.bin", b"x")
    assert left_over(tmp_path) == []


def test_a_file_where_a_folder_should_be(tmp_path):
    files.write_bytes(tmp_path / "a", b"")
    with pytest.raises(DataError, match="must be writable"):
        files.write_bytes(tmp_path / "a" / "b", b"x")
    assert left_over(tmp_path) == ["a"]


def test_many_writers_at_once_leave_one_whole_file(tmp_path):
    code = (
        "import sys; from fewshot.plumbing.files import write_bytes\n"
        "for _ in range(60): write_bytes(sys.argv[1], sys.argv[2].encode() * 40000)"
    )
    path = tmp_path / "x.bin"
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), letter]) for letter in "abc"]
    seen = set()
    while any(w.poll() is None for w in writers):
        if path.exists():
            seen.add(path.read_bytes())
    assert [w.returncode for w in writers] == [0, 0, 0]
    assert seen | {path.read_bytes()} <= {letter.encode() * 40000 for letter in "abc"}
    assert left_over(tmp_path) == ["x.bin"]


def in_process(code, *arguments):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


WRITES = """
import sys, time
from fewshot.plumbing.files import write

def fill(file):
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)

write(sys.argv[1], fill)
"""


def test_the_next_writer_removes_what_a_killed_one_has_left_and_nothing_else(tmp_path):
    first = in_process(WRITES, tmp_path / "x.bin")
    assert first.stdout.readline() == "writing\n"
    (half,) = tmp_path.iterdir()
    (tmp_path / ".hidden.part").touch()
    files.write_bytes(tmp_path / "y.bin", b"y")
    assert half.exists()  # its writer lives
    first.kill(), first.communicate()
    assert half.exists()
    files.write_bytes(tmp_path / "y.bin", b"z")
    assert left_over(tmp_path) == [".hidden.part", "y.bin"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_new_files_keep_the_umask_and_old_ones_their_mode(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        path = files.write_bytes(tmp_path / "x", b"x")
        assert path.stat().st_mode & 0o777 == mode
        path.chmod(0o640)
        assert files.write_bytes(path, b"y").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_a_folder_is_tried_without_being_made(tmp_path):
    files.require_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    files.require_writable_files(None, tmp_path / "a.csv")
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataError, match=f"'{path}' must be writable, got the file '{tmp_path / 'file'}'"):
            files.require_writable(path)
    with pytest.raises(DataError, match="must be a file to write, got a folder; name a file in it"):
        files.require_writable_files(tmp_path)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that takes no files, which Linux has")
def test_a_folder_that_takes_no_files_is_found_before_the_work():
    with pytest.raises(DataError, match="'/proc/here' must be writable, got"):
        files.require_writable("/proc/here")


def test_a_full_disk_is_found_before_the_work(tmp_path, monkeypatch):
    def full(*given):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "write", full)
    with pytest.raises(DataError, match="No space left on device"):
        files.require_writable(tmp_path)
    assert left_over(tmp_path) == []


def test_one_process_after_the_other(tmp_path):
    code = """
import sys, time
from pathlib import Path
from fewshot.plumbing.files import one_at_a_time
for _ in range(20):
    with one_at_a_time(Path(sys.argv[1])):
        number = Path(sys.argv[1], "n")
        before = int(number.read_text()) if number.exists() else 0
        time.sleep(0.002)
        number.write_text(str(before + 1))
"""
    both = [in_process(code, tmp_path / "a") for _ in range(2)]
    assert [one.communicate() and one.returncode for one in both] == [0, 0]
    assert (tmp_path / "a" / "n").read_text() == "40"


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("FEWSHOT_CACHE", str(tmp_path))
    assert files.cache_folder() == tmp_path
    monkeypatch.delenv("FEWSHOT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert files.cache_folder() == tmp_path / "xdg" / "fewshot"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert files.cache_folder() == tmp_path / "home" / ".cache" / "fewshot"


def test_digest_knows_where_chunks_end():
    assert files.digest([b"ab", b"c"]) != files.digest([b"a", b"bc"])
    assert files.digest([b"a", b""]) != files.digest([b"a"])
    assert files.digest([memoryview(b"abc")]) == files.digest([b"abc"])
    assert files.digest([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of nothing


def test_packaged_files_are_there():
    assert (files.packaged("data") / "README.md").is_file()


def test_numbers_stand_on_one_line_and_texts_are_left_alone(tmp_path):
    content = {
        "counts": [1, -2, 3],
        "nested": [[1, 2], [0.5, 1e-9]],
        "texts": ["[\n 1,\n 2\n]", "[ 1,  2 ]"],
        "none": [],
    }
    path = files.write_json(tmp_path / "x.json", content)
    assert json.loads(path.read_text("utf-8")) == content
    assert '"counts": [1, -2, 3]' in path.read_text("utf-8") and "[0.5, 1e-09]" in path.read_text("utf-8")


def test_who_is_killed_while_he_tries_a_folder_leaves_nothing(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(_):
        assert list(tmp_path.iterdir()) == []
        raise Killed

    monkeypatch.setattr(os, "fsync", kill)
    with pytest.raises(Killed):
        files.require_writable(tmp_path / "not" / "yet")
