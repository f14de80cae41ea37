"""The memory of the process that listens on a port of this machine, as Linux shows it."""

from pathlib import Path
from urllib.parse import urlsplit


def memory_of(url: str) -> float | None:
    """Megabytes that the server at an address keeps in memory; None where that can't be seen."""
    port = urlsplit(url).port
    process = _listening(port) if port else None
    return _megabytes(process) if process else None


def _listening(port: int) -> Path | None:
    """The folder in /proc of the process that listens on a port."""
    sockets = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.is_file() else ():
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:  # listens
                sockets.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*") if sockets else ():
        try:
            if any(str(fd.readlink()) in sockets for fd in (process / "fd").iterdir()):
                return process
        except OSError:  # ended, or somebody else's
            continue
    return None


def _megabytes(process: Path) -> float | None:
    try:
        lines = (process / "status").read_text().splitlines()
    except OSError:
        return None
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("VmRSS:")]
    return kilobytes[0] / 1024 if kilobytes else None
