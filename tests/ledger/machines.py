"""How the state machines of the ledger are run in the tests."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

STEPS = 40


def live(machine: type[RuleBasedStateMachine], lives: int) -> None:
    """Give a machine so many lives of `STEPS` steps. Raises what its checks raise, on the shortest way found."""
    chosen = settings(
        max_examples=lives,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(machine, settings=chosen)
