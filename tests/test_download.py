"""Downloads from a real server that does what servers do: cuts, hangs, ignores Range, sends something else."""

import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from serving import Server

from resnetkit import download as module
from resnetkit.download import download
from resnetkit.errors import DataError, ResourceError, UsageError

DATA = os.urandom(5 << 20)
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def _file(server: Server) -> None:
    server.files["/f"] = DATA


def get(server: Server, target: Path, size: int = len(DATA), sha: str = SHA) -> None:
    download([f"{server.url}/f"], target, size, sha)


def test_a_file_is_fetched(server: Server, tmp_path: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    download([f"{server.url}/f"], tmp_path / "a.bin", len(DATA), SHA, lambda *news: heard.append(news))
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert heard[-1] == ("a.bin", len(DATA), len(DATA))
    assert [done for _, done, _ in heard] == sorted({done for _, done, _ in heard})


def test_it_goes_on_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(DATA[:1_000_000])
    get(server, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == DATA
    assert server.asked == [("/f", "bytes=1000000-")]
    assert server.sent == len(DATA) - 1_000_000


def test_a_server_that_cuts_is_asked_for_the_rest(server: Server, tmp_path: Path) -> None:
    server.cut = 1_500_000
    get(server, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == DATA
    assert [span for _, span in server.asked] == [None, "bytes=1500000-", "bytes=3000000-", "bytes=4500000-"]


def test_a_server_that_brings_nothing_is_left_soon(server: Server, tmp_path: Path) -> None:
    server.cut = 100
    with pytest.raises(DataError, match="broke off after 500 of"):
        get(server, tmp_path / "a")
    assert len(server.asked) == module.TRIES
    assert (tmp_path / "a.part").read_bytes() == DATA[:500], "what came is kept for the next time"
    server.cut = 0
    get(server, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == DATA


def test_a_server_without_range_starts_anew(server: Server, tmp_path: Path) -> None:
    server.how = {"no range"}
    (tmp_path / "a.part").write_bytes(DATA[:1_000_000])
    get(server, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == DATA
    assert server.sent == len(DATA)


def test_a_server_without_length(server: Server, tmp_path: Path) -> None:
    server.how = {"no length"}
    get(server, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == DATA


def test_a_server_that_hangs(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    server.how, server.cut = {"hang"}, 1000
    began = time.monotonic()
    with pytest.raises(DataError, match="timed out"):
        get(server, tmp_path / "a")
    assert time.monotonic() - began < 12
    assert not (tmp_path / "a").exists()


def test_a_server_that_drips(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW", (0.3, 10_000))
    server.how = {"drip"}
    began = time.monotonic()
    with pytest.raises(DataError, match="bytes in 0 seconds"):
        get(server, tmp_path / "a")
    assert time.monotonic() - began < 20


def test_the_wrong_file_is_removed(server: Server, tmp_path: Path) -> None:
    server.files["/f"] = bytes(len(DATA))
    with pytest.raises(DataError, match=f"SHA-256 [0-9a-f]{{64}}, not {SHA}, and was removed"):
        get(server, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
    assert len(server.asked) == 1, "the same address would send the same again"


def test_a_damaged_part_is_begun_anew(server: Server, tmp_path: Path) -> None:
    for before in (bytes(1000), bytes(len(DATA)), bytes(len(DATA) + 1)):
        (tmp_path / "a.part").write_bytes(before)
        get(server, tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == DATA
        (tmp_path / "a").unlink()


def test_a_whole_part_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(DATA)
    get(server, tmp_path / "a")
    assert server.asked == []


@pytest.mark.parametrize("how", [set(), {"no length"}, {"always 206"}])
def test_a_file_of_another_size(server: Server, tmp_path: Path, how: set[str]) -> None:
    server.files["/f"], server.how = DATA * 2, how
    with pytest.raises(
        DataError, match="more than the 5,242,880 bytes" if how == {"no length"} else "a file of 10,485"
    ):
        get(server, tmp_path / "a")
    assert len(server.asked) == 1
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= len(DATA)


def test_another_part_than_asked_for(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(DATA[:1000])
    server.how = {"wrong part"}
    with pytest.raises(DataError, match="another part"):
        get(server, tmp_path / "a")
    assert (tmp_path / "a.part").read_bytes() == DATA[:1000]


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (403, 1), (410, 1), (500, 5), (503, 5), (429, 5)])
def test_answers_that_are_none(server: Server, tmp_path: Path, status: int, asked: int) -> None:
    server.status = status
    with pytest.raises(DataError, match=f"a could not be fetched: {server.url}/f: {status} "):
        get(server, tmp_path / "a")
    assert len(server.asked) == asked
    assert list(tmp_path.iterdir()) == []


def test_the_next_address_goes_on(server: Server, tmp_path: Path) -> None:
    """Gone, unreachable and cutting addresses: each next one gets what is still lacking."""
    server.files["/g"] = DATA
    server.cut = 2_000_000
    download([f"{server.url}/gone", "http://127.0.0.1:9/f", f"{server.url}/g"], tmp_path / "a", len(DATA), SHA)
    assert (tmp_path / "a").read_bytes() == DATA
    assert server.sent == len(DATA)


def test_every_address_is_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        download([f"{server.url}/gone", "http://host.invalid/f", "http://127.0.0.1:9/f"], tmp_path / "a", 1, "0")
    assert re.search(r"/gone: 404 .*host.invalid/f: .*:9/f: .*refused", caught.value.what)


def test_redirects(server: Server, tmp_path: Path) -> None:
    server.how = {"redirect"}
    get(server, tmp_path / "a")
    assert [path for path, _ in server.asked] == ["/f", "/g"]
    server.how = {"redirect", "ftp"}
    with pytest.raises(DataError, match="unknown url type: ftp"):
        get(server, tmp_path / "b")


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/f", "data:,hello", "nonsense"])
def test_only_http(server: Server, tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError, match="unknown url type"):
        download([url], tmp_path / "a", 5, SHA)
    assert server.asked == []


def test_proxies(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is also a proxy: it gets the whole address of a host that does not exist."""
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "localhost")
    download(["http://host.invalid/f"], tmp_path / "a", len(DATA), SHA)
    assert server.asked == [("http://host.invalid/f", None)]


def test_no_room(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"a.part needs .* bytes more, and the disk has"):
        get(server, tmp_path / "a", size=1 << 60)
    assert server.asked == []


def test_places_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is a link"):
        get(server, tmp_path / "a")
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "b").mkdir()
    with pytest.raises(ResourceError, match="could not be written"):
        get(server, tmp_path / "b")


def test_a_killed_download_goes_on(server: Server, tmp_path: Path) -> None:
    server.how, server.cut = {"hang"}, 2_000_000
    code = "import sys; from pathlib import Path; from resnetkit.download import download\n"
    code += "download([sys.argv[1]], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])"
    words = [f"{server.url}/f", str(tmp_path / "a"), str(len(DATA)), SHA]
    with subprocess.Popen([sys.executable, "-c", code, *words]) as process:
        while not ((tmp_path / "a.part").exists() and (tmp_path / "a.part").stat().st_size == 2_000_000):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert not (tmp_path / "a").exists()
    server.how, server.cut, server.sent = set(), 0, 0
    get(server, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == DATA
    assert server.sent == len(DATA) - 2_000_000
