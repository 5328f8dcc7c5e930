"""What is known of one account's credentials: whether the service has accepted them, and whether it refused them.

The laws, for whatever lanes, listings, look-ups and checks call at the same time:

- Credentials that no answer has proven go alone: one call of the account at a time (the canary), until the service
  itself has answered one. A gateway's trouble, a limit or a page of a proxy prove nothing.
- Credentials that were refused are not sent again: who asks is told what the canary was told.
- Renewed credentials are others, and start as a canary.

More than five refusals in a row lock a key for minutes, whoever uses it (APIGW FAQ 0003).
"""

from dataclasses import replace

import anyio

from batcher.cloud.credentials import Credentials
from batcher.model import Kind, Refused


class Canary:
    """The state of one account; `alone` is held by whoever makes the one call."""

    def __init__(self) -> None:
        self.alone = anyio.Lock()
        self._proven: Credentials | None = None
        self._refused: tuple[Credentials, Refused] | None = None

    @property
    def is_over(self) -> bool:
        """Whether the credentials that were used last are proven."""
        return self._proven is not None

    def is_proven(self, credentials: Credentials) -> bool:
        """Whether calls under these credentials can go side by side. Asked at every call."""
        return self._proven is credentials

    def forget_others(self, credentials: Credentials) -> None:
        """The account's credentials are these now: what others have proven does not count for them."""
        if self._proven is not credentials:
            self._proven = None

    def refusal_of(self, credentials: Credentials) -> Refused | None:
        """What these credentials were refused with, if they were, as the answer to a call that is not made."""
        if self._refused is None or self._refused[0].secrets() != credentials.secrets():
            return None
        return replace(self._refused[1], sent=False)

    def note(self, credentials: Credentials, answer: object) -> None:
        """Take in the answer to a call under `credentials` that is no refusal of them."""
        if not isinstance(answer, Refused) or answer.definitive or answer.kind is Kind.EXISTS:
            self._proven = credentials

    def doubt(self, credentials: Credentials) -> None:
        """A call under these credentials was refused: they are not proven any more."""
        if self._proven is credentials:
            self._proven = None

    def refuse(self, credentials: Credentials, refused: Refused) -> None:
        """These credentials are wrong for good."""
        self.doubt(credentials)
        self._refused = (credentials, refused)
