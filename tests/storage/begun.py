"""Copies of a ledger whose run was killed, and what is done to them."""

import contextlib
import os
import random
import shutil
import socket
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.clouds import cloud
from tests.e2e.inventories import some_rows, write_rows

ROWS = 200
SENT = 30
PAGE = 4096
LEDGER = "ledger.db"
PORTS_FROM, PORTS = 20_000, 5_000
"""Below those that Linux and macOS give out by themselves."""


@dataclass(frozen=True)
class Begun:
    """A folder with `routers.csv` and `reports`, as a killed run of `ROWS` rows has left them.

    `roots` has the page at which each table and index of the ledger begins; at `port` its cloud was, and only there it
    can be gone on with.
    """

    folder: Path
    run_id: str
    port: int
    roots: dict[str, int]

    def copy(self, place: Path, *, closed: bool = False) -> Path:
        """The ledger in a copy of it all; `closed`: as if its last sitting had closed it."""
        shutil.copytree(self.folder, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("latest"))
        ledger = place / "reports" / LEDGER
        if closed:
            with contextlib.closing(sqlite3.connect(ledger)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            assert not beside(ledger, "-wal").exists()
        return ledger


async def make_begun(folder: Path) -> Begun:
    """Run a command in a new folder, and kill it in the middle of its sends."""
    folder.mkdir()
    inventory = write_rows(folder / "routers.csv", some_rows(ROWS))
    port = lasting_port()
    async with cloud(port=port) as sky, sky.slowly(folder, "run", str(inventory), rate="100/s") as run:
        await sky.until_creates(SENT)
        run.process.kill()
        await run.process.wait()
    path = folder / "reports" / LEDGER
    beside(path, ".sock").unlink()
    if beside(path, "-wal").stat().st_size < 100_000:
        raise AssertionError("the log of the killed run was folded in already")
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        (run_id,) = connection.execute("SELECT run_id FROM run").fetchone()
        roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_master WHERE rootpage > 0"))
    return Begun(folder, run_id, port, roots)


def lasting_port() -> int:
    """A free port that no connection is given of itself, so that it stays free between two clouds."""
    for port in range(PORTS_FROM + os.getpid() % PORTS, PORTS_FROM + 2 * PORTS):
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def beside(ledger: Path, suffix: str) -> Path:
    """A file that goes with a ledger."""
    return ledger.with_name(f"{ledger.name}{suffix}")


def noise(path: Path, start: int, size: int) -> None:
    """Overwrite a part of a file with what nobody meant, always the same."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(random.Random(5).randbytes(size))


def contents(ledger: Path) -> dict[str, bytes]:
    """What is in the files that hold a ledger's truth; an empty log, which readers leave, is none."""
    found = {path.name: path.read_bytes() for path in (ledger, beside(ledger, "-wal")) if path.exists()}
    return {name: data for name, data in found.items() if data or name == LEDGER}


def intents(ledger: Path) -> int:
    """How many rows a ledger says may have been sent."""
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM row WHERE intent_at IS NOT NULL").fetchone()[0])


def leftovers(folder: Path) -> list[Path]:
    """Temporary files that nobody took away."""
    return [path for path in folder.rglob(".*") if path.name.endswith(".tmp")]


def refused(ended_code: int, err: str, ledger: Path, *says: str) -> None:
    """A command has ended with a message that names the ledger and says what to do."""
    assert ended_code == 1, err
    assert "Traceback" not in err, err
    lines = err.splitlines()
    message = next(line for line in lines if line.startswith("batcher: "))
    assert str(ledger) in message, err
    hint = next(line for line in lines if line.startswith("hint: "))
    for text in says:
        assert text in message + hint, err
