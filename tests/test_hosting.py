"""The folder of uploads, the ports and the proxies of a server that starts."""

import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from clipinverter.ui import hosting

ROOT = Path(__file__).parent.parent
HOLD = (
    "import sys, time; from clipinverter.ui import hosting; "
    "print(hosting.open_folder(), flush=True); sys.stdin.read()"
)


@pytest.fixture
def parent(tmp_path, monkeypatch):
    """Where the folders of the servers under test go."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


def start() -> tuple[subprocess.Popen, Path]:
    """A process with a folder, and that folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen) -> int:
    """Lets the process come to its end by itself."""
    process.communicate(timeout=20)
    return process.returncode


def test_the_folder_is_private_and_goes_with_the_process(parent):
    process, folder = start()
    assert folder.parent == parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (folder / "a").mkdir()
    (folder / "a" / "photo.jpg").write_bytes(b"x")
    assert end(process) == 0
    assert not [*parent.iterdir()]


def test_sigterm_removes_it_at_once(parent):
    process, folder = start()
    (folder / "photo.jpg").write_bytes(b"x")
    before = time.monotonic()
    process.terminate()
    assert process.wait(20) == 128 + 15
    assert time.monotonic() - before < 2
    assert not [*parent.iterdir()]
    process.communicate()


def test_the_next_start_removes_what_a_crash_left_and_nothing_else(parent):
    dead, left = start()
    (left / "photo.jpg").write_bytes(b"x")
    alive, used = start()
    assert left.exists()  # both ran at that time
    dead.kill()
    dead.communicate()
    assert left.exists()
    (parent / f"{hosting.PREFIX}notes").mkdir()
    elsewhere = parent / "elsewhere"
    elsewhere.mkdir()
    (parent / f"{hosting.PREFIX}linkedto").symlink_to(elsewhere)
    third, new = start()
    kept = {used, new, elsewhere, *(parent / f"{hosting.PREFIX}{n}" for n in ("notes", "linkedto"))}
    assert {*parent.iterdir()} == kept
    assert end(alive) == end(third) == 0


def test_many_servers_can_start_at_once(parent):
    started = [start() for _ in range(6)]
    assert len({folder for _, folder in started}) == 6
    assert all(folder.exists() for _, folder in started)
    assert [end(process) for process, _ in started] == [0] * 6


def test_uploads_that_broke_off_are_removed_after_an_hour(tmp_path):
    old, new, result = tmp_path / "tmpold", tmp_path / "tmpnew", tmp_path / "a" / "result.png"
    result.parent.mkdir()
    for path in (old, new, result):
        path.write_bytes(b"x")
    hour_ago = time.time() - 61 * 60
    os.utime(old, (hour_ago, hour_ago))
    os.utime(result, (hour_ago, hour_ago))  # the framework's to remove, or an example's copy
    hosting.remove_broken_uploads(tmp_path)
    assert [path.exists() for path in (old, new, result)] == [False, True, True]


def blocked(folder: Path) -> Path:
    (folder / "file").write_text("in the way")
    return folder / "file" / "uploads"


def foreign(folder: Path) -> Path:
    if os.getuid():
        pytest.skip("only root can give a folder away")
    (folder / "theirs").mkdir()
    os.chown(folder / "theirs", 12345, 12345)
    return folder / "theirs"


def read_only(folder: Path) -> Path:
    return Path("/proc")  # where not even root can write


@pytest.mark.parametrize("make", [blocked, foreign, read_only])
def test_a_folder_that_can_not_be_used_is_replaced(tmp_path, monkeypatch, caplog, make):
    (tmp_path / "usual").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "usual"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(make(tmp_path)))
    assert hosting._parent() == tmp_path / "usual"
    assert "GRADIO_TEMP_DIR can't be used" in caplog.text


def test_a_folder_that_is_missing_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "a" / "b"))
    assert hosting._parent() == tmp_path / "a" / "b"


@pytest.mark.parametrize("name", ["PORT", "GRADIO_SERVER_PORT"])
@pytest.mark.parametrize("value", ["abc", "99999", "0", "-1", "7860.5", "１２", "9" * 5000])
def test_what_is_no_port_is_a_sentence(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(hosting.HostError, match=f"^{name} has to be a number from 1 to 65535"):
        hosting.check_ports()


def test_ports(monkeypatch):
    monkeypatch.setenv("PORT", "")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "")
    assert (hosting.check_ports(), hosting.first_port()) == (None, 7860)
    monkeypatch.setenv("GRADIO_SERVER_PORT", "8000")
    assert (hosting.check_ports(), hosting.first_port()) == (None, 8000)
    monkeypatch.setenv("PORT", "9000")
    assert (hosting.check_ports(), hosting.first_port()) == (9000, 9000)


def test_the_proxy_is_not_asked_for_the_server_itself(monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "example.org, localhost")
    monkeypatch.setenv("GRADIO_SERVER_NAME", "192.0.2.1")
    hosting.spare_loopback_the_proxy()
    expected = "example.org,localhost,127.0.0.1,::1,192.0.2.1"
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == expected
