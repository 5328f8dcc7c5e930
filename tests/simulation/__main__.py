"""Simulated nights by hand.

python -m tests.simulation 4711                 # the night of a seed, told in full
python -m tests.simulation --seeds 20000        # the first so many nights, on all cores
python -m tests.simulation --seeds 5000 --first 20000
"""

import argparse
import dataclasses
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.simulate import failures, simulate
from tests.simulation.twists import draw

SEEDS_AT_ONCE = 50


def tell(seed: int) -> int:
    """Print what was decided of a night, what happened in it and what was wrong; 1 if anything was."""
    night = draw(seed)
    for field in dataclasses.fields(night):
        value = getattr(night, field.name)
        if field.name in ("rows", "there", "frozen"):
            value = ", ".join(f"{row['name']}{'' if row['enabled'] == 'true' else ' (off)'}" for row in value)
        print(f"{field.name}: {value}")
    told = simulate(seed)
    print(*told.story, *(f"WRONG: {line}" for line in told.wrong), sep="\n")
    return bool(told.wrong)


def count(seeds: range) -> int:
    """Run many nights, print every failure and a last line with the figures; 1 if anything was wrong."""
    began, wrong = time.monotonic(), 0  # a line that says how to replay a night is no violation
    chunks = [seeds[start : start + SEEDS_AT_ONCE] for start in range(0, len(seeds), SEEDS_AT_ONCE)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for lines in pool.map(_all_failures, chunks):
            wrong += sum(line.startswith("seed ") for line in lines)
            for line in lines:
                print(line, flush=True)
    print(f"{len(seeds):,} nights, {wrong} violations, {time.monotonic() - began:.0f} s")
    return bool(wrong)


def _all_failures(seeds: range) -> list[str]:
    return [line for seed in seeds for line in failures(seed)]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.splitlines()[0])
    parser.add_argument("seed", type=int, nargs="?")
    parser.add_argument("--seeds", type=int, default=2000, help="how many nights")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first")
    given = parser.parse_args()
    if given.seed is not None:
        return tell(given.seed)
    return count(range(given.first, given.first + given.seeds))


if __name__ == "__main__":
    sys.exit(main())
