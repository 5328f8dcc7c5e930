"""Nothing of batcher listens to any other machine."""

import ipaddress
import sys
from pathlib import Path

import pytest

from tests.e2e.clouds import Cloud
from tests.e2e.commands import EMULATOR_KEYS, start
from tests.e2e.inventories import some_rows, write_rows

LISTENS = "0A"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="who listens is told by /proc")


def open_to(pid: int) -> list[str]:
    """The addresses at which a process can be called: TCP that listens, and UDP of any kind."""
    own = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            is_open = state == LISTENS if table.startswith("tcp") else True
            if is_open and f"socket:[{rest[5]}]" in own:
                found.append(address(local.partition(":")[0]))
    return found


def address(digits: str) -> str:
    """An address as the kernel writes it: words of four bytes, each in this machine's order."""
    words = (bytes.fromhex(digits[start : start + 8]) for start in range(0, len(digits), 8))
    data = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return str(ipaddress.ip_address(data))


def named_sockets(pid: int) -> set[str]:
    """The Unix sockets of a process that have a name."""
    own = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    lines = (line.split() for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:])
    return {words[7] for words in lines if len(words) > 7 and f"socket:[{words[6]}]" in own}


def test_addresses_of_the_kernel_are_read_right() -> None:
    assert [address("0100007F"), address("00000000")] == ["127.0.0.1", "0.0.0.0"]
    assert address("00000000000000000000000001000000") == "::1"


async def test_a_rehearsal_with_all_there_is_listens_on_loopback_and_at_its_own_socket(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(200))
    words = ["--emulator", "--rate", "auto", "--preflight", "--fix-drift", "--for", "1h", "-vv"]
    process = await start(tmp_path, "run", str(inventory), *words)
    assert process.stderr is not None
    while b"row.settled" not in (line := await process.stderr.readline()):
        assert line
    assert process.pid is not None
    assert open_to(process.pid) == ["127.0.0.1"]
    assert len(named_sockets(process.pid)) == 1  # that of `batcher ctl`, by the name under which it was made
    assert (tmp_path / "reports" / "rehearsal.db.sock").is_socket()
    process.kill()
    await process.communicate()


async def test_a_run_against_a_cloud_listens_nowhere(tmp_path: Path, sky: Cloud) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(200))
    words = sky.words("run", str(inventory), "--for", "1h", rate="20/s")
    process = await start(tmp_path, *words, extra=EMULATOR_KEYS)
    await sky.until_creates(3)
    assert process.pid is not None
    assert open_to(process.pid) == []
    process.kill()
    await process.communicate()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_emulator_listens_on_loopback(tmp_path: Path, host: str) -> None:
    process = await start(tmp_path, "emulator", "--port", "0", "--host", host)
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert line.startswith(b"endpoint: http://")
    assert process.pid is not None
    assert open_to(process.pid) == [host]
    process.terminate()
    await process.communicate()
