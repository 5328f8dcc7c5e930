"""The clock of an endpoint beside ours: measured on its answers, corrected only when it refuses for it.

A signature holds for 15 minutes around its date on the gateway's clock (api-sign-provide01, 2025-10-20). Every
answer of HTTP has the server's `Date`, in whole seconds. Two things follow from it:

- **When a call is dated.** After a refusal of a call that was dated more than `REFUSED_S` beside the gateway's clock,
  calls to that endpoint, and to no other that has answered, are dated by it. One correction is believed until a call
  has succeeded: keys that are refused are not sent again and again because of a date.
- **What time it is there.** The answer to a call that was sent at `sent` and came at `came`, on a clock of ours that
  only grows, was dated in between. So the provider's time is that clock plus at least `Date - came` and at most
  `Date + 1 - sent`; many answers narrow that down to some milliseconds. A step of this machine's clock changes nothing.
"""

from collections.abc import Mapping

from batcher.cloud.wire import parse_date
from batcher.model import ClockOffset

WARN_S = 300.0
"""A third of what the gateway bears: off by more, somebody should mend the clock before it is too late."""
REFUSED_S = 840.0
"""Just under what the gateway bears: a call that was dated closer than this was not refused for its date."""


class EndpointClock:
    """What is known of one endpoint's clock."""

    def __init__(self, correction_s: float = 0.0) -> None:
        """`correction_s` is what is believed of our clock until the endpoint's own answers tell better."""
        self.skew_s: float | None = None
        """By how much our wall clock is ahead of the endpoint's, as last measured."""
        self.offset: ClockOffset | None = None
        """What to add to our steady clock for the endpoint's time; None before its first answer."""
        self.correction_s = correction_s
        """What is added to our wall clock when a call to the endpoint is dated."""
        self._may_correct = True
        self._date: float | None = None
        self._text = ""
        self._told = False

    def measure(self, headers: Mapping[str, str], now: float, *, sent: float, came: float) -> bool:
        """Take the difference from an answer that came at `now` (wall clock); whether it is worth a first warning.

        `sent` and `came` are when the call left and the answer arrived, on the steady clock.
        """
        text = headers.get("Date", "")
        if text != self._text or self._date is None:
            self._text, self._date = text, parse_date(text)
        if self._date is None:
            return False
        self.skew_s = now - self._date
        self.offset = _narrowed(self.offset, ClockOffset(self._date - came, self._date + 1.0 - sent))
        tells = abs(self.skew_s) > WARN_S and not self._told
        self._told = self._told or tells
        return tells

    def succeeded(self) -> None:
        """A call has succeeded: should the clock be refused later, that is news."""
        self._may_correct = True

    def corrects(self, signed_at: float, correction_s: float) -> bool:
        """Whether a refusal, just measured, is mended by dating calls anew; the correction is then in force.

        The refused call was dated `signed_at`, which held a correction of `correction_s`. A call that was dated
        rightly is not refused for its date; one dated before the correction in force is simply out of date.
        """
        if self._date is None or self.skew_s is None or abs(signed_at - self._date) <= REFUSED_S:
            return False
        if correction_s != self.correction_s:
            return True
        if not self._may_correct:
            return False
        self.correction_s, self._may_correct = -self.skew_s, False
        return True


def _narrowed(known: ClockOffset | None, seen: ClockOffset) -> ClockOffset:
    """What both say; if they contradict each other one of the clocks was set, and the newer holds."""
    if known is None:
        return seen
    low, high = max(known.low, seen.low), min(known.high, seen.high)
    return ClockOffset(low, high) if low <= high else seen
