"""Live many undo worlds and hold what was deleted, and what was told, against what the cloud has noted.

    python -m tests.undo_worlds COUNT [FIRST_SEED [JOBS]]

The last line sums up; each fault is printed with the seed of its world, and makes the exit code 1.
`python -m tests.undo_worlds 1 SEED` draws the same world again, though not to the millisecond, and tells its story.
"""

import asyncio
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from tests.undo_worlds.judge import Verdict
from tests.undo_worlds.world import World, lived

AT_ONCE = 12
"""Worlds side by side in one process: they wait most of the time."""


async def live_all(seeds: list[int], folder: Path, at_once: int = AT_ONCE, scale: float = 1.0) -> list[World]:
    """These worlds, so many side by side."""
    room = asyncio.Semaphore(at_once)
    # Each ledger writes in a thread: where they wait for one, sends leave long after they were marked.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(4 * at_once))

    async def one(seed: int) -> World:
        async with room:
            world = await lived(seed, folder, scale)
        for fault in world.verdict.faults:
            print(f"seed {seed}: FAULT: {fault}", flush=True)
        if world.verdict.faults or len(seeds) == 1:
            print(f"seed {seed}: {world.rows} rows; {'; '.join(world.told)}", flush=True)
        return world

    return await asyncio.gather(*map(one, seeds))


def _job(seeds: list[int]) -> tuple[list[int], Verdict, int, int, int]:
    with tempfile.TemporaryDirectory(prefix="batcher-worlds-") as folder:
        worlds = asyncio.run(live_all(seeds, Path(folder)))
    found = Verdict()
    for world in worlds:
        found += world.verdict
    wrong = [world.seed for world in worlds if world.verdict.faults]
    rows, sittings, kills = (sum(getattr(world, name) for world in worlds) for name in ("rows", "sittings", "kills"))
    return wrong, found, rows, sittings, kills


def main(count: int, first: int = 1, jobs: int = os.cpu_count() or 1) -> int:
    """Live so many worlds, print the sum; 1 where anything is wrong."""
    seeds = range(first, first + count)
    found, wrong, rows, sittings, kills = Verdict(), [], 0, 0, 0
    with ProcessPoolExecutor(jobs) as pool:
        for done in pool.map(_job, [list(seeds[job::jobs]) for job in range(min(jobs, count))]):
            wrong += done[0]
            found += done[1]
            rows, sittings, kills = rows + done[2], sittings + done[3], kills + done[4]
    print(
        f"worlds {count}, rows {rows}, runs {sittings}, kills {kills}, created {found.created},"
        f" deleted {found.deleted}, not its own {len(found.not_own)}, told gone {found.gone},"
        f" untrue absences {len(found.untrue_absences)}, untrue created {len(found.untrue_created)},"
        f" broken {len(found.broken)} (deleted within the second {found.within_second}, created {found.created_within},"
        f" while it was sent {found.while_sending})"
    )
    if wrong:
        print(f"seeds: {' '.join(map(str, sorted(wrong)))}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
