"""The clock of an endpoint beside ours: measured on its answers, corrected only when it refuses for it.

A signature holds for 15 minutes around its date on the gateway's clock (api-sign-provide01, 2025-10-20). Every
answer of HTTP has the server's `Date`, in whole seconds; half a second and the way back are far below what counts
here. A clock that is off by more than `WARN_S` is worth a word; after a refusal of a call that was dated more than
`REFUSED_S` beside the gateway's clock, calls are dated by that clock.
"""

from collections.abc import Mapping

from batcher.cloud.wire import parse_date

WARN_S = 300.0
"""A third of what the gateway bears: off by more, somebody should mend the clock before it is too late."""
REFUSED_S = 840.0
"""Just under what the gateway bears: a call that was dated closer than this was not refused for its date."""
MEASURE_EVERY_S = 60.0
"""A clock may step in the night; a look a minute costs nothing."""


class EndpointClock:
    """What is known of one endpoint's clock."""

    def __init__(self) -> None:
        self.skew_s: float | None = None
        """By how much our clock is ahead of the endpoint's, as last measured."""
        self._date: float | None = None
        self._due = 0.0
        self._told = False

    def is_due(self, now: float) -> bool:
        """Whether the next answer should be measured; cheap, asked at every call."""
        return now >= self._due

    def measure(self, headers: Mapping[str, str], now: float) -> bool:
        """Take the skew from an answer that came at `now` (our clock); whether it is the first worth a warning."""
        self._due = now + MEASURE_EVERY_S
        self._date = parse_date(headers.get("Date", ""))
        if self._date is None:
            return False
        self.skew_s = now - self._date
        tells = abs(self.skew_s) > WARN_S and not self._told
        self._told = self._told or tells
        return tells

    def refuses(self, signed_at: float) -> bool:
        """Whether a refusal, just measured, can be for the date `signed_at` of its call.

        A call that was dated rightly is not refused for its date, so dating calls anew after this ends.
        """
        return self._date is not None and abs(signed_at - self._date) > REFUSED_S
