"""A disk as a power cut would leave it, rebuilt from the system calls of a process: only what was synced is there.

The calls come from `strace`. A write to a file counts once that file was synced, and a name (of a file that was made,
a folder, a rename) once its folder was. A moment at which the process sends something is `Sent`.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

TRACED = "openat,mkdir,pwrite64,write,ftruncate,fsync,fdatasync,sendto,sendmsg,rename,renameat,renameat2,symlink,unlink"
STRING_BYTES_MAX = 1 << 20
_CALL = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)")
_BEGUN = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
_ENDED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_PLACE = re.compile(r"^-?\w+<((?:\\x[0-9a-f]{2})*)>")


@cache
def tracer() -> str | None:
    """The program `strace`, where it is there and may be used."""
    found = shutil.which("strace")
    if found is None:
        return None
    tried = subprocess.run([found, "-f", "-o", "/dev/null", "true"], capture_output=True, check=False, timeout=10)
    return found if tried.returncode == 0 else None


def traced(log: Path) -> list[str]:
    """The words that go before a command whose system calls are to be written to `log`."""
    program = tracer()
    assert program is not None
    shown = ["-f", "--seccomp-bpf", "-y", "-xx", "-s", str(STRING_BYTES_MAX), "-e", f"trace={TRACED}"]
    return [program, *shown, "-o", str(log)]


@dataclass(frozen=True)
class Call:
    """A system call: its name, the path of its first descriptor or empty, its texts, and the rest of its words."""

    name: str
    place: str
    texts: Sequence[bytes]
    words: str


def calls(log: Path) -> Iterator[Call]:
    """The calls that worked, in order: a send when it begins, everything else when it has ended."""
    begun: dict[tuple[str, str], str] = {}
    for line in log.read_text(encoding="ascii").splitlines():
        if whole := _CALL.match(line):
            _, name, words, result = whole.groups()
        elif half := _BEGUN.match(line):
            begun[half[1], half[2]] = half[3]
            if half[2].startswith("send"):
                yield _call(half[2], half[3])
            continue
        elif rest := _ENDED.match(line):
            words, result, name = begun.pop((rest[1], rest[2]), "") + rest[3], rest[4], rest[2]
            if name.startswith("send"):
                continue
        else:
            continue
        if int(result) >= 0:
            yield _call(name, words)


def _call(name: str, words: str) -> Call:
    place = _PLACE.match(words)
    texts = [_bytes(text) for text in _TEXT.findall(words)]
    return Call(name, "" if place is None else _bytes(place[1]).decode(), texts, _TEXT.sub("", words))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass
class Disk:
    """What is safe of the files below a folder. `apply` calls in their order."""

    root: Path
    safe: dict[str, bytearray] = field(default_factory=dict)
    """Of each file what was synced."""
    _written: dict[str, list[tuple[int, bytes | None]]] = field(default_factory=dict)
    _sizes: dict[str, int] = field(default_factory=dict)
    _unsafe_names: set[str] = field(default_factory=set)

    def apply(self, call: Call) -> None:
        """Do what a call has done, if it is one of a file."""
        match call.name:
            case "openat" if "O_CREAT" in call.words:
                self._begin(self._path(call.texts[0]), is_emptied="O_TRUNC" in call.words)
            case "mkdir" | "symlink":
                self._unsafe_names.add(self._path(call.texts[-1]))
            case "pwrite64":
                self._written.setdefault(call.place, []).append((int(call.words.rsplit(", ", 1)[1]), call.texts[0]))
            case "write" if call.place in self.safe:
                size = self._sizes[call.place]
                self._written.setdefault(call.place, []).append((size, call.texts[0]))
                self._sizes[call.place] = size + len(call.texts[0])
            case "ftruncate":
                self._written.setdefault(call.place, []).append((int(call.words.rsplit(", ", 1)[1]), None))
            case "fsync" | "fdatasync":
                self._sync(call.place)
            case "rename":
                self._rename(*map(self._path, call.texts))
            case _:
                pass

    def _begin(self, path: str, *, is_emptied: bool) -> None:
        if path not in self.safe:
            self._unsafe_names.add(path)
            self.safe[path] = bytearray()
        if is_emptied:
            self._written[path] = [(0, None)]
        if is_emptied or path not in self._sizes:
            self._sizes[path] = 0

    def _sync(self, path: str) -> None:
        content = self.safe.setdefault(path, bytearray())
        for offset, data in self._written.pop(path, []):
            if data is None:
                del content[offset:]
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data or b"")] = data or b""
        self._unsafe_names = {name for name in self._unsafe_names if str(Path(name).parent) != path}

    def _rename(self, old: str, new: str) -> None:
        if old in self.safe:  # a link has no content
            self.safe[new], self._sizes[new] = self.safe.pop(old), self._sizes.pop(old)
            self._written[new] = self._written.pop(old, [])
        self._unsafe_names.discard(old)
        self._unsafe_names.add(new)

    def _path(self, text: bytes) -> str:
        return str(self.root / text.decode())

    def is_whole(self, path: Path) -> bool:
        """Whether all that was written to a file is safe."""
        return not self._written.get(str(path))

    def is_found(self, path: Path) -> bool:
        """Whether the name of a file or folder is safe, and those of the folders above it."""
        return self._unsafe_names.isdisjoint({str(path), *map(str, path.parents)})

    def after_a_power_cut(self, path: Path, into: Path) -> Path:
        """A database as it would be, written to another folder with its log; its name has to be safe."""
        into.mkdir(exist_ok=True)
        for name in (path.name, f"{path.name}-wal"):
            there = path.with_name(name)
            if str(there) in self.safe and self.is_found(there):
                (into / name).write_bytes(self.safe[str(there)])
        return into / path.name
