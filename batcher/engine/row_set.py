"""Many row numbers in little memory: a bit for each row up to the highest, where a set takes a hundred bytes a row."""

from array import array
from collections.abc import Iterable


class RowSet:
    """A set of row numbers, which count from 1."""

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._bits = bytearray()
        for number in numbers:
            self.add(number)

    def add(self, row_no: int) -> None:
        """Put a row in. Repeatable."""
        at = row_no >> 3
        if at >= len(self._bits):
            self._bits.extend(bytes(at + 1 - len(self._bits)))
        self._bits[at] |= 1 << (row_no & 7)

    def discard(self, row_no: int) -> None:
        """Take a row out, if it is in. Repeatable."""
        if row_no in self:
            self._bits[row_no >> 3] &= ~(1 << (row_no & 7))

    def __contains__(self, row_no: int) -> bool:
        at = row_no >> 3
        return at < len(self._bits) and bool(self._bits[at] >> (row_no & 7) & 1)

    def missing(self, numbers: Iterable[int]) -> "array[int]":
        """Those of `numbers` that are not in it, in their order; four bytes a row."""
        return array("I", (number for number in numbers if number not in self))
