"""What goes with a call to the provider: what is done before it leaves, and what stands for an answer given up."""

from typing import Protocol

from batcher.model import Kind, Refused, Stops


class Before(Protocol):
    """What has to be done before a call leaves."""

    async def do(self, *, waits: bool) -> bool:
        """Do it, and wait until it is durable if `waits`; whether the call may still be made."""
        ...

    def take_back(self) -> None:
        """The call does not leave now. Repeatable."""
        ...


GIVEN_UP = Refused(
    Kind.TRANSIENT, Stops.ROW, "BATCHER.NoAnswer", "the stop did not wait for an answer", ambiguous=True, mended=True
)
"""Instead of an answer that nobody waits for any more; it says nothing of the service, nor is it the row's failure."""
