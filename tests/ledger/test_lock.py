"""Who holds a ledger can be asked without taking it from anybody."""

import fcntl
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from batcher.errors import LedgerHeldError
from batcher.ledger.lock import LedgerLock, holder_of, lock_path

HOLD = """
import sys
from pathlib import Path
from batcher.ledger.lock import LedgerLock
lock = LedgerLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_ledger_that_nobody_ever_worked_has_no_holder(place: Path) -> None:
    assert holder_of(place) is None
    place.parent.mkdir()
    assert holder_of(place) is None
    assert list(place.parent.iterdir()) == []


def test_a_holder_is_named_until_it_lets_go(place: Path) -> None:
    place.parent.mkdir()
    lock = LedgerLock(place)
    named = holder_of(place)
    assert named is not None
    assert named is not None
    assert named.text.startswith(f"process {os.getpid()} on `{socket.gethostname()}` since ")
    with pytest.raises(LedgerHeldError, match=f"process {os.getpid()} "):
        LedgerLock(place)
    lock.release()
    assert holder_of(place) is None


def test_a_holder_that_was_killed_holds_nothing(place: Path) -> None:
    place.parent.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert str(getattr(holder_of(place), "text", "")).startswith(f"process {process.pid} ")
        process.kill()
    assert json.loads(lock_path(place).read_text())["pid"] == process.pid
    assert holder_of(place) is None


def test_while_the_process_that_a_lock_names_is_dead_nobody_touches_the_lock(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a run that begins in that very moment would be told that another one is at work."""
    place.parent.mkdir()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lock_path(place).write_text(json.dumps({"pid": gone.pid, "host": socket.gethostname(), "since": "long ago"}))

    def refuse(*_: object) -> None:
        raise AssertionError("the lock was tried")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert holder_of(place) is None


@pytest.mark.parametrize("text", ["", "rubbish", "[]", '{"pid": "x", "host": "h"}', '{"pid": 99999999999999999999}'])
def test_rubbish_in_a_lock_names_nobody_and_hides_nobody(place: Path, text: str) -> None:
    place.parent.mkdir()
    lock_path(place).write_text(text)
    assert holder_of(place) is None
    lock = LedgerLock(place)
    lock_path(place).write_text(text)
    assert holder_of(place) == ("", "another process")
    lock.release()
