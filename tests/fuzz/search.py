"""A search in one process: atheris leads inputs by the coverage of `batcher`; findings are noted and passed over."""

import json
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FINDINGS_KEPT = 50
INPUT_S_MAX = 20
"""For one input: more is a hang."""
MEMORY_MB_MAX = 1_024
"""Of the process as a whole."""
INPUT_BYTES_MAX = 4_096
"""Seeds that are larger are tried, and not mutated: size has tests of its own."""


def search(name: str, inputs: int, notes: Path) -> None:
    """Try so many inputs, and leave in `notes` how many were tried and what was found. Does not return."""
    atheris: Any = import_module("atheris")  # an optional extra: it does not install everywhere
    with atheris.instrument_imports(include=["batcher"]):
        from tests.fuzz.readers import reader  # late: what it loads is to be instrumented

        found = reader(name)
    book = _Notes(notes, inputs)
    folder = TemporaryDirectory(prefix="batcher-fuzz-")
    corpus = Path(folder.name) / "corpus"
    corpus.mkdir()
    for at, seed in enumerate(found.seeds):
        book.try_one(found.check, seed)
        if len(seed) <= INPUT_BYTES_MAX:
            (corpus / f"{at:05}").write_bytes(seed)
    words = Path(folder.name) / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in dict.fromkeys(found.tokens) if word))
    options = (
        f"-runs={inputs + 1}",
        f"-dict={words}",
        f"-timeout={INPUT_S_MAX}",
        f"-rss_limit_mb={MEMORY_MB_MAX}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-artifact_prefix={notes}-",
        "-print_final_stats=0",
        "-verbosity=0",
        "-seed=1",
        str(corpus),
    )
    atheris.Setup([sys.argv[0], *options], lambda data: book.try_one(found.check, data))
    atheris.Fuzz()


class _Notes:
    """Counts inputs and keeps one of each kind of finding; written now and then, for the process ends abruptly."""

    def __init__(self, path: Path, inputs: int) -> None:
        self._path = path
        self._inputs = inputs
        self._tried = 0
        self._slowest_s = 0.0
        self._findings: dict[str, str] = {}

    def try_one(self, check: Any, data: bytes) -> None:
        self._tried += 1
        began = time.monotonic()
        try:
            check(data)
        except Exception as error:  # noqa: BLE001  # every foreign exception is a finding
            self._note(error, data)
        self._slowest_s = max(self._slowest_s, time.monotonic() - began)
        if self._tried % 1_000 == 0 or self._tried >= self._inputs:
            self._write()

    def _note(self, error: Exception, data: bytes) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        ours, last = next((f for f in reversed(frames) if "batcher/" in f.filename), frames[-1]), frames[-1]
        place = f"{Path(ours.filename).name}:{ours.lineno}, {last.name}:{last.lineno}"
        what = f"{type(error).__name__} at {place}"
        if what not in self._findings and len(self._findings) < FINDINGS_KEPT:
            self._findings[what] = f"{data[:300]!r}: {str(error)[:300]}"
            self._write()

    def _write(self) -> None:
        words = {"tried": self._tried, "slowest_s": round(self._slowest_s, 3), "findings": self._findings}
        self._path.write_text(json.dumps(words))


def _escaped(word: str) -> str:
    return "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02X}"
        for byte in word.encode("utf-8", "surrogatepass")
    )
