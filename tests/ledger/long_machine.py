"""The ledger's state machines for as long as you like: `python -m tests.ledger.long_machine 2000`.

The number is how many lives each machine has (`pytest` gives them 60 to 80); a life has 60 steps. It ends with a line
for each machine, or with the shortest way to a fault.
"""

import sys
import time

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.ledger.test_interrupted_machine import InterruptedMachine
from tests.ledger.test_ledger_machine import LedgerMachine
from tests.ledger.test_shared_machine import SharedMachine

STEPS = 60
MACHINES: tuple[type[RuleBasedStateMachine], ...] = (LedgerMachine, InterruptedMachine, SharedMachine)


def main(lives: int) -> None:
    """Run each machine, and say what it took."""
    for machine in MACHINES:
        began, cpu = time.monotonic(), time.process_time()
        chosen = settings(
            max_examples=lives,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(machine, settings=chosen)
        took = f"{time.monotonic() - began:.0f} s, {time.process_time() - cpu:.0f} s of CPU"
        print(f"{machine.__name__}: {lives} lives of {STEPS} steps hold, {took}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
