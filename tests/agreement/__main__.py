"""Hold plans to their runs in many random worlds.

    python -m tests.agreement --worlds 5000       # the first so many, on all cores
    python -m tests.agreement --seed 4711         # one of them

Each disagreement is printed with its seed, and makes the exit code 1.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.agreement.live import lived
from tests.agreement.world import draw

AT_ONCE = 20


def main() -> int:
    """Live through the worlds that are asked for; 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description="Plans held to their runs.")
    parser.add_argument("--worlds", type=int, default=1000)
    parser.add_argument("--seed", type=int, help="this world alone")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        print(draw(arguments.seed))
        found = lived(arguments.seed)
        print(dict(found.said), *found.wrong, sep="\n")
        return int(bool(found.wrong))
    wrong = 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(lived, range(arguments.worlds), chunksize=AT_ONCE):
            wrong += bool(found.wrong)
            print(*found.wrong, sep="\n", end="\n" if found.wrong else "", flush=True)
    print(f"{arguments.worlds} worlds, {wrong} disagreements")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
