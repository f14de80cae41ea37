"""What the server needs of the machine it runs on: a folder for uploads, a port, a way to itself.

The framework reads the environment when it is imported, so this comes before it, and without it.
"""

import atexit
import contextlib
import logging
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from clipinverter.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PREFIX = "clipinverter-uploads-"
FIRST_PORT = 7860  # the framework's own default
DELETE_EVERY, DELETE_AFTER = 15 * 60, 60 * 60  # seconds
LOOPBACK = ("127.0.0.1", "localhost", "::1")

log = logging.getLogger(__name__)

before_sigterm_ends: list[Callable[[], None]] = []
"""What to do first, in a second or so, when SIGTERM ends the process."""


class HostError(UserError):
    """The server can't start as it was told; the message is a sentence for whoever starts it."""


def open_folder() -> Path:
    """Creates the folder of uploads and results, and names it to the framework in GRADIO_TEMP_DIR.

    It is new, only this user can read it, and it lies in GRADIO_TEMP_DIR if that is set, else where
    temporary files go. It is removed when the process exits or gets SIGTERM; one that a crash left
    is removed by the next server that starts in the same place.
    """
    parent = _parent()
    if fcntl:  # without locks, nobody could tell which folders are in use
        _remove_abandoned(parent)
    folder = _create(parent)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    threading.Thread(target=_clean, args=(folder,), daemon=True).start()
    if threading.current_thread() is threading.main_thread():  # nobody else may set handlers
        signal.signal(signal.SIGTERM, lambda number, frame: _end(folder, number))
    return folder


def check_ports() -> int | None:
    """The port that PORT names, or None if the first free one is to be taken.

    Raises:
        HostError: PORT or GRADIO_SERVER_PORT is no port.
    """
    ports = {name: _port(name) for name in ("PORT", "GRADIO_SERVER_PORT")}
    return ports["PORT"]


def first_port() -> int:
    """The port that is tried first."""
    return _port("PORT") or _port("GRADIO_SERVER_PORT") or FIRST_PORT


def spare_loopback_the_proxy() -> None:
    """Lets the server reach itself at its start where a proxy is set for everything else."""
    own = [*LOOPBACK, os.environ.get("GRADIO_SERVER_NAME", "").strip("[]")]
    kept = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in [*kept.split(","), *own] if host.strip()]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys(hosts))


def _parent() -> Path:
    """Where the folder goes: GRADIO_TEMP_DIR, unless others could interfere there or we can't write."""
    usual = Path(tempfile.gettempdir())
    wanted = os.environ.get("GRADIO_TEMP_DIR")
    if not wanted:
        return usual
    try:
        folder = Path(wanted).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if not _is_trusted(folder):
            raise PermissionError("it belongs to somebody else")
        with tempfile.TemporaryDirectory(dir=folder):
            return folder
    except OSError as error:
        reason = error.strerror or error
        log.warning("GRADIO_TEMP_DIR can't be used (%s); uploads go to %s instead", reason, usual)
        return usual


def _is_trusted(folder: Path) -> bool:
    return not hasattr(os, "getuid") or folder.stat().st_uid in (os.getuid(), 0)


def _create(parent: Path) -> Path:
    """A new folder, locked. Another server that starts just now may remove it before the lock is on."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        _lock(folder, wait=True)
        if folder.exists():
            return folder


def _remove_abandoned(parent: Path) -> None:
    """Removes the folders in `parent` whose servers are gone: a lock ends with its process."""
    for folder in parent.glob(f"{PREFIX}????????"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = _lock(folder)
        except OSError:  # removed meanwhile
            continue
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path, wait: bool = False) -> int | None:
    """Locks a folder until the process ends; None if another process did, or it can't be done."""
    if not fcntl:
        return None
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(lock)
        return None
    return lock


def remove_broken_uploads(folder: Path, age: float = DELETE_AFTER) -> None:
    """Removes what uploads that broke off left, which the framework forgets.

    An upload in progress lies in the folder itself, everything else in folders inside it.
    """
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # moved meanwhile
            if path.is_file() and path.stat().st_mtime <= time.time() - age:
                path.unlink()


def _clean(folder: Path) -> None:
    while folder.exists():
        time.sleep(DELETE_EVERY)
        with contextlib.suppress(OSError):
            remove_broken_uploads(folder)


def _end(folder: Path, number: int) -> NoReturn:
    """Ends at once, whatever else runs: an edit would go on for seconds."""
    try:
        for act in before_sigterm_ends:
            act()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(128 + number)


def _port(name: str) -> int | None:
    value = os.environ.get(name)
    if not value:
        os.environ.pop(name, None)  # the framework takes an empty one for a number
        return None
    if not re.fullmatch("[0-9]{1,5}", value) or not 0 < int(value) < 65536:
        raise HostError(f"{name} has to be a number from 1 to 65535, not {value!r}.")
    return int(value)
