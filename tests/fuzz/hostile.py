"""Texts that somebody would send on purpose; seeds of the fuzzers and rows of the tests."""

CONTROLS = ("\0", "\x1b[2J\x1b]0;owned\x07", "\x9b31m", "\r\n", "\x7f", "\x85", "\u2028", "\b\b\b")
INVISIBLE = ("\u202e", "\u2066", "\u200b", "\u200f", "\ufeff", "\u00ad", "\U000e0041")
LOOKALIKES = ("ſ", "\u212a", "İ", "ı", "е", "１", "٣", "²", "é", "ﬁ", "ⅷ")
FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "＋1",
    "－1",
    "＠1",
    "'=1",
    "=cmd|' /C calc'!A0",
)
PATHS = ("../../v3/other", "..", "%2e%2e%2f", "a/b", "a?b#c", "a b", "a\r\nX-Evil: 1", "a\0b", "/", "\\")
MARKUP = ("<script>alert(1)</script>", "<!--", "&lt;", "{{7*7}}", "${x}", "{er_id.__class__}", "%s%n")
WORDS = (*CONTROLS, *INVISIBLE, *LOOKALIKES, *FORMULAS, *PATHS, *MARKUP)

JSON_VALUES = (
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "NaN",
    "-Infinity",
    "9" * 4400,
    '"12"',
    '""',
    "[]",
    "{}",
    "[[[[[[]]]]]]",
    '"\\ud800"',
    '"\\u0000"',
    '"\\u202e\\u001b[31m"',
    '"../../v3/other"',
    '"a\\r\\nb"',
    f'"{"x" * 5000}"',
)
"""What stands where something else was expected."""
