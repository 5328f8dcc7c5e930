"""The whole pipeline beside a bare aiohttp loop that sends the same bytes, in one interleaved run.

    python -m tests.bench.pipeline [ROWS] [ROUNDS]

Prints rows a second and CPU a row (user and system, this process, all threads) of both, and the ratio. Machines
are shared: believe the ratio, not the seconds. The pipeline reads a CSV, plans it into a ledger on disk
(`synchronous=FULL`), signs and sends each row, settles it, and writes the reports.
"""

import asyncio
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from batcher import app
from batcher.cli.work import calm_collector
from batcher.settings import Settings
from batcher.wiring import Session
from tests.e2e.inventories import row, write_inventory

WORKERS = 64
BODY = (
    b'{"flow_log":{"name":"fl-1","resource_type":"attachment","resource_id":"6f83b848-8331-4271-ac0c-ef94b7686402",'
    b'"log_group_id":"0139393c-eeb2-49f0-bbd4-c5faec6b1497","log_stream_id":"d22c3b44-2f71-470f-83f3-96a8af6956ad",'
    b'"log_store_type":"LTS"}}'
)


def cpu_s() -> float:
    """User and system time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def bare(url: str, rows: int) -> None:
    """The least that any aiohttp client must do: post prebuilt bytes, read the answer."""
    first = row(0)
    place = f"{url}/v3/{first['project_id']}/enterprise-router/{first['er_id']}/flow-logs"
    numbers = iter(range(rows))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=WORKERS)) as session:

        async def work() -> None:
            for _ in numbers:
                async with session.post(place, data=BODY, headers={"Content-Type": "application/json"}) as response:
                    await response.read()

        await asyncio.gather(*(work() for _ in range(WORKERS)))


async def pipeline(url: str, inventory: Path) -> None:
    """What a user runs."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.model_validate(
            {
                "cloud": {"endpoint": url},
                "run": {"rate": "1000000/s", "concurrency": WORKERS},
                "report": {"directory": folder},
            }
        )
        keys = {"HUAWEICLOUD_SDK_AK": "AK", "HUAWEICLOUD_SDK_SK": "SK"}
        result = await app.run_inventory(str(inventory), Session(settings=settings, environment=keys))
        if result.exit_code != 0:
            raise SystemExit(f"the run ended with {result.exit_code}: {result.publication.counts}")


def measure(run: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """(CPU seconds, wall seconds) of one slice."""

    async def slice_() -> None:
        await run()

    cpu, wall = cpu_s(), time.perf_counter()
    asyncio.run(slice_())
    return cpu_s() - cpu, time.perf_counter() - wall


@contextmanager
def static_server() -> Iterator[str]:
    """The URL of a server in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.static_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()


def main(rows: int = 20_000, rounds: int = 5) -> None:
    """Run the slices in turn and print the figures."""
    with static_server() as url, tempfile.TemporaryDirectory() as folder:
        inventory = write_inventory(Path(folder) / "inventory.csv", rows, projects=1)
        slices: dict[str, list[tuple[float, float]]] = {"bare": [], "pipeline": []}
        calm_collector()  # as the command does; it holds for both sides
        for warm_up in (lambda: bare(url, rows // 10), lambda: pipeline(url, inventory)):
            measure(warm_up)
        for _ in range(rounds):
            slices["bare"].append(measure(lambda: bare(url, rows)))
            slices["pipeline"].append(measure(lambda: pipeline(url, inventory)))
    for name, values in slices.items():
        cpu = statistics.median(cpu for cpu, _ in values) / rows
        wall = statistics.median(wall for _, wall in values)
        print(f"{name:<9} {rows / wall:8,.0f} rows/s  {cpu * 1e6:7.1f} us of CPU a row")
    ratios = [p / b for (b, _), (p, _) in zip(slices["bare"], slices["pipeline"], strict=True)]
    print(f"ratio of CPU a row, median of {rounds} pairs of {rows:,} rows: {statistics.median(ratios):.2f}")
    print(f"  pairs: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
