"""Archives: what is good comes out as other programs unpack it, what is hostile or broken leaves nothing."""

import gzip
import io
import os
import stat
import struct
import subprocess
import sys
import tarfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from resnetkit.data.archives import unpack
from resnetkit.errors import DataError, KitError, ResourceError, UsageError

GOOD = {"a/1.jpg": b"one" * 500, "a/b/2.jpg": b"", "\u732b/\u00e9 1.jpg": os.urandom(3000), "top.txt": b"x" * 512}


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def a_tar(*members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w", form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tuple):
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
            else:
                archive.addfile(member)
    return out.getvalue()


def a_zip(*members: tuple[str | zipfile.ZipInfo, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", packing) as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def special(name: str, kind: bytes, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def zip_entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def raw_header(name: bytes, size: bytes, kind: bytes = b"0", prefix: bytes = b"") -> bytes:
    header = bytearray(512)
    header[345 : 345 + len(prefix)] = prefix
    header[: len(name)] = name
    header[100:108], header[124:136], header[156:157] = b"0000644\0", size.ljust(12, b"\0"), kind
    header[257:265] = b"ustar\x0000"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def raw_zip_name(good: bytes, old: bytes, new: bytes) -> bytes:
    """A name that Python would not write, in the local header and the directory."""
    assert len(old) == len(new)
    assert good.count(old) == 2
    return good.replace(old, new)


def overlapping() -> bytes:
    """Many entries of the directory for one member (as in Fifield 2019)."""
    good = a_zip(("a", os.urandom(5000)), packing=zipfile.ZIP_STORED)
    end = good.rindex(b"PK\5\6")
    start = struct.unpack("<L", good[end + 16 : end + 20])[0]
    entry = good[start:end]
    entries = b"".join(entry[:46] + bytes([97 + i]) for i in range(5))
    tail = bytearray(good[end:])
    tail[8:12], tail[12:16] = struct.pack("<HH", 5, 5), struct.pack("<L", len(entries))
    return good[:start] + entries + bytes(tail)


PLAIN = ("a/1.jpg", b"picture" * 200)
OUT = "../outside.txt"
TAR = a_tar(PLAIN, ("b/2.jpg", b"other" * 500))
ZIP = a_zip(PLAIN, ("b/2.jpg", os.urandom(500)))
HOSTILE: dict[str, tuple[bytes, str]] = {
    "tar with ..": (a_tar((OUT, b"x")), "leads out of"),
    "tar with .. inside": (a_tar(("a/../../outside.txt", b"x")), "leads out of"),
    "tar with an absolute path": (a_tar(("/tmp/outside.txt", b"x")), "absolute"),
    "tar with a drive": (a_tar(("C:/outside.txt", b"x")), "absolute"),
    "tar with a drive alone": (a_tar(("c:outside.txt", b"x")), "absolute"),
    "tar with backslashes": (a_tar(("..\\outside.txt", b"x")), "letter"),
    "tar with a stream of Windows": (a_tar(("a/1.jpg:evil", b"x")), "letter"),
    "tar with a line break": (a_tar(("a\nb", b"x")), "letter"),
    "tar with a pax path": (a_tar(("a/" * 80 + "../../outside.txt", b"x")), "leads out of"),
    "tar with a GNU path": (a_tar(("/" + "a/" * 80 + "x", b"x"), form=tarfile.GNU_FORMAT), "absolute"),
    "tar with a prefix": (raw_header(b"outside.txt", b"0", prefix=b"a/../..") + bytes(1024), "leads out of"),
    "tar with a link": (a_tar(special("a/l", tarfile.SYMTYPE, "/etc/passwd")), "is a link"),
    "tar writing through a link": (a_tar(special("a", tarfile.SYMTYPE, ".."), ("a/outside.txt", b"x")), "is a link"),
    "tar with a hard link": (a_tar(PLAIN, special("l", tarfile.LNKTYPE, "a/1.jpg")), "is a link"),
    "tar with a long link": (
        a_tar(special("l", tarfile.SYMTYPE, "a" * 200), form=tarfile.GNU_FORMAT),
        "is a link",
    ),
    "tar with a device": (a_tar(special("null", tarfile.CHRTYPE)), "is a device"),
    "tar with a disk": (a_tar(special("sda", tarfile.BLKTYPE)), "is a device"),
    "tar with a pipe": (a_tar(special("pipe", tarfile.FIFOTYPE)), "is a pipe"),
    "tar with a sparse file": (raw_header(b"a", b"0", b"S") + bytes(1024), "no plain file"),
    "tar with an unknown kind": (raw_header(b"a", b"0", b"Z") + bytes(1024), "no plain file"),
    "tar with a name twice": (a_tar(PLAIN, PLAIN), "twice"),
    "tar with a file as folder": (a_tar(("a", b"x"), ("a/1.jpg", b"x")), "twice"),
    "tar with a folder as file": (a_tar(("a/1.jpg", b"x"), ("a", b"x")), "twice"),
    "tar with cases": (a_tar(("a/1.jpg", b"x"), ("A/2.jpg", b"x")), "both a and A"),
    "tar with Unicode forms": (a_tar(("\u00e9.jpg", b"x"), ("e\u0301.jpg", b"x")), "both"),
    "tar with dots that Windows drops": (a_tar(("a/1", b"x"), ("a./2", b"x")), "both"),
    "tar with a name of Windows": (a_tar(("a/NUL.txt", b"x")), "device on Windows"),
    "tar with a name that is no UTF-8": (raw_header(b"\xb0\xa1.jpg", b"0") + bytes(1024), "not UTF-8"),
    "tar with too deep a name": (a_tar(("a/" * 70 + "x", b"x")), "too deep"),
    "tar with too long a name": (a_tar(("a" * 300, b"x")), "too long"),
    "tar with a file without a name": (raw_header(b"./.", b"0") + bytes(1024), "without a name"),
    "tar with a negative size": (raw_header(b"a", b"\xff" * 12) + bytes(1024), "no size"),
    "tar with a size that lies": (raw_header(b"a", b"77777777777") + bytes(4096), "truncated"),
    "tar with a size of many digits": (raw_header(b"a", b"\x80" + b"\xff" * 11) + bytes(4096), "truncated"),
    "tar with a name of a gigabyte": (raw_header(b"a", b"10000000000", b"L") + bytes(4096), "name of"),
    "tar with bad pax": (raw_header(b"a", b"11", b"x") + b"9 no\n".ljust(512, b"\0") + bytes(1024), "pax"),
    "tar with pax of no length": (raw_header(b"a", b"5", b"x") + b"0 a=\n".ljust(512, b"\0") + bytes(1024), "pax"),
    "tar with a bad header inside": (patched(TAR, 2048 + 20, b"!"), "damaged"),
    "tar cut in a file": (TAR[:1400], "truncated"),
    "tar cut between files": (TAR[:2048], "truncated"),
    "tar without an end": (TAR[:5120], "truncated"),
    "tar.gz cut": (gzip.compress(TAR)[:-40], "damaged"),
    "tar.gz with a bad sum": (patched(gz := gzip.compress(TAR), len(gz) - 6, b"????"), "damaged"),
    "tar.gz with a bad middle": (patched(gz, len(gz) // 2, b"\0\xff\0\xff"), "damaged"),
    "tar.xz cut": (a_tar(PLAIN, mode="w:xz")[:-40], "damaged"),
    "tar.bz2 with a bad middle": (patched(a_tar(PLAIN, mode="w:bz2"), 60, b"????"), "damaged"),
    "tar.gz that is a bomb": (gzip.compress(a_tar(("a", bytes(20 << 20)))), "times as many"),
    "tar.xz that is a bomb": (a_tar(("a", bytes(20 << 20)), mode="w:xz"), "times as many"),
    "zip with ..": (a_zip((OUT, b"x")), "leads out of"),
    "zip with an absolute path": (a_zip(("/tmp/outside.txt", b"x")), "absolute"),
    "zip with a drive": (a_zip(("C:/outside.txt", b"x")), "absolute"),
    "zip with backslashes": (a_zip(("..\\outside.txt", b"x")), "letter"),
    "zip with NUL": (raw_zip_name(a_zip(("okay.jpg#", b"x")), b"okay.jpg#", b"okay\0.jpg"), "letter"),
    "zip with a link": (a_zip((zip_entry("l", stat.S_IFLNK | 0o777), b"/etc")), "is a link"),
    "zip with a device": (a_zip((zip_entry("d", stat.S_IFCHR | 0o666), b"")), "is a device"),
    "zip with a name twice": (a_zip(PLAIN, PLAIN), "twice"),
    "zip with cases": (a_zip(("a.jpg", b"x"), ("A.JPG", b"x")), "both"),
    "zip that is a bomb": (a_zip(("a", bytes(20 << 20))), "times as many"),
    "zip with members over one another": (overlapping(), "over one another"),
    "zip that is encrypted": (patched(ZIP, ZIP.index(b"PK\1\2") + 8, b"\1\0"), "encrypted"),
    "zip packed by bzip2": (a_zip(PLAIN, packing=zipfile.ZIP_BZIP2), "rare"),
    "zip with a bad sum": (patched(ZIP, ZIP.index(b"PK\1\2") + 16, b"????"), "damaged"),
    "zip with a size that lies": (patched(ZIP, ZIP.index(b"PK\1\2") + 24, b"\1\0\0\0"), "damaged"),
    "zip cut": (ZIP[:-30], "damaged"),
    "zip cut in the middle": (ZIP[: len(ZIP) // 2], "damaged"),
    "zip of nothing but its first bytes": (b"PK\3\4", "damaged"),
    "an HTML page": (b"<!DOCTYPE html><html>" + b"sorry " * 200, "no zip or tar"),
    "an empty file": (b"", "truncated"),
    "gzip of no tar": (gzip.compress(b"hello" * 500), "no zip or tar"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives(tmp_path: Path, name: str) -> None:
    data, word = HOSTILE[name]
    box = tmp_path / "box"
    box.mkdir()
    (box / "archive").write_bytes(data)
    with pytest.raises(DataError, match=word) as caught:
        unpack(box / "archive", box / "out")
    assert "archive" in caught.value.what
    assert caught.value.fix
    assert [path.name for path in tmp_path.rglob("*")] == ["box", "archive"], "nothing is left, inside or outside"


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 60


PACKERS: dict[str, Callable[[], bytes]] = {
    "tar": lambda: a_tar(*GOOD.items()),
    "tar of 1988": lambda: a_tar(*GOOD.items(), form=tarfile.USTAR_FORMAT),
    "tar of GNU": lambda: a_tar(*GOOD.items(), form=tarfile.GNU_FORMAT),
    "tar.gz": lambda: a_tar(*GOOD.items(), mode="w:gz"),
    "tar.bz2": lambda: a_tar(*GOOD.items(), mode="w:bz2"),
    "tar.xz": lambda: a_tar(*GOOD.items(), mode="w:xz"),
    "tar with folders": lambda: a_tar(special("./", b"5"), special("./a", b"5"), *GOOD.items(), special("a/b/", b"5")),
    "zip": lambda: a_zip(*GOOD.items()),
    "zip that is stored": lambda: a_zip(*GOOD.items(), packing=zipfile.ZIP_STORED),
    "zip with folders": lambda: a_zip(("a/", b""), ("a/b/", b""), *GOOD.items()),
}


@pytest.mark.parametrize("packer", PACKERS)
def test_good_archives(tmp_path: Path, packer: str) -> None:
    (tmp_path / "archive").write_bytes(PACKERS[packer]())
    unpack(tmp_path / "archive", tmp_path / "out")
    assert tree(tmp_path / "out") == GOOD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "out"]
    modes = {path.stat().st_mode & 0o7111 for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert modes == {0}, "nothing can be run"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names(tmp_path: Path, form: int) -> None:
    folder = "f" * 90
    names = {f"{folder}/{'n' * 90}{i}": bytes([i]) for i in range(3)} | {"short": b"s"}
    if form != tarfile.USTAR_FORMAT:
        names[f"{folder}/{'m' * 200}"] = b"m"
        names["\u732b" * 60] = b"cat"
    (tmp_path / "archive").write_bytes(a_tar(*names.items(), form=form))
    unpack(tmp_path / "archive", tmp_path / "out")
    assert tree(tmp_path / "out") == names


def test_as_the_tar_command_packs(tmp_path: Path) -> None:
    """An archive of a folder as people make it, with what their tar says of owners and times."""
    source = tmp_path / "source"
    for name, data in GOOD.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    subprocess.run(["tar", "-czf", tmp_path / "a.tgz", "-C", tmp_path, "source"], check=True)
    unpack(tmp_path / "a.tgz", tmp_path / "out")
    assert tree(tmp_path / "out/source") == GOOD


def test_limits(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(a_tar(*((f"{i}", b"ab") for i in range(5))))
    unpack(tmp_path / "a", tmp_path / "five", members=5, total=10)
    for word, limits in (("more than 4 members", {"members": 4}), ("more than 9 bytes", {"total": 9})):
        with pytest.raises(DataError, match=word):
            unpack(tmp_path / "a", tmp_path / "out", **limits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "five"]


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(TAR)
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="there already"):
        unpack(tmp_path / "a", tmp_path / "out")
    with pytest.raises(DataError, match="cannot be read"):
        unpack(tmp_path / "gone", tmp_path / "other")
    with pytest.raises(ResourceError, match="unpacked"):
        unpack(tmp_path / "a", tmp_path / "gone" / "out")


def test_many_small_pax_records_do_not_take_long(tmp_path: Path) -> None:
    data = b"6 a=b\n" * 170_000
    header = raw_header(b"a", b"%o" % len(data), b"x")
    (tmp_path / "a").write_bytes(header + data + bytes(-len(data) % 512) + TAR)
    began = time.monotonic()
    unpack(tmp_path / "a", tmp_path / "out")
    assert time.monotonic() - began < 30


def test_a_killed_unpacking_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(a_tar(*((f"{i:05d}", b"x") for i in range(20_000))))
    code = "import sys; from pathlib import Path; from resnetkit.data.archives import unpack; print(1, flush=True)\n"
    code += "unpack(Path(sys.argv[1]), Path(sys.argv[2]))"
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "a", tmp_path / "out"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        while not any(tmp_path.glob(".out.*.tmp/00100")) and process.poll() is None:
            time.sleep(0.001)
        process.kill()
    assert process.returncode == -9
    assert not (tmp_path / "out").exists()
    unpack(tmp_path / "a", tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 20_000


def test_any_bytes_end_in_our_errors(tmp_path: Path) -> None:
    """One byte changed anywhere is an error of ours or changes no name; it never leaves a part of an archive."""
    import random

    dice = random.Random(7)
    for data in (TAR[:4096] + bytes(1024), gzip.compress(TAR), ZIP):
        for _ in range(150):
            (tmp_path / "a").write_bytes(patched(data, dice.randrange(len(data)), bytes([dice.randrange(256)])))
            try:
                unpack(tmp_path / "a", tmp_path / "out")
            except KitError:
                assert [path.name for path in tmp_path.iterdir()] == ["a"]
            else:
                assert len(tree(tmp_path / "out")) == 2
                subprocess.run(["rm", "-r", tmp_path / "out"], check=True)
