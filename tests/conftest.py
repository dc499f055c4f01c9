"""What all tests share: real pictures where they are to be had, one thread, nothing left behind."""

import ctypes
import gc
import os
import platform
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from serving import Server

# Before torch is imported anywhere, and for the processes that tests start. One thread waits for no other: on a
# busy machine two can take ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test reaches a network, or depends on what lies in somebody's cache; the fixture below asks a server here.
os.environ["RESNETKIT_OFFLINE"] = "1"
os.environ["RESNETKIT_CACHE"] = os.path.join(tempfile.gettempdir(), "resnetkit-tests-have-no-cache")

# The same examples every time, however slow the machine is, and no folder of failures beside the code.
hypothesis.settings.register_profile("resnetkit", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("resnetkit")


@pytest.fixture(autouse=True, scope="module")
def memory_goes_back() -> Iterator[None]:
    """What freed tensors took goes back to the system: runs keep it, and a worker would grow to 9 GB."""
    yield
    gc.collect()
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real pictures and weights; its absence skips a test here and fails it in CI."""
    given = os.environ.get("RESNETKIT_TEST_DATA", "")
    if given and Path(given).is_dir():
        return Path(given)
    reason = f"RESNETKIT_TEST_DATA names no folder: {given!r}" if given else "RESNETKIT_TEST_DATA is not set"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An HTTP server on this machine, which is asked directly and at once."""
    proxies = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    for name in (*proxies, "RESNETKIT_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("resnetkit.download.PAUSE", 0.01)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
