"""What is said of words that make no command line: short, the wrong word named, and the one that may be meant.

A word may be a secret that was put in the wrong place, so of arguments that nobody asked for only the name of an option
is repeated.
"""

import argparse
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from batcher.errors import ConfigError

NEAR = 0.6
"""How alike two words are, from 0 to 1, so that one may be meant by the other."""


class Parser(argparse.ArgumentParser):
    """Raises `ConfigError` for words that it does not understand; `commands` are the parsers of its commands."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands: dict[str, Parser] = {}

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and where the right words are found."""
        choice = re.fullmatch(r"argument (\S+): invalid choice: '?(.*?)'? \(choose from (.+)\)", message, re.DOTALL)
        missing = message.partition("the following arguments are required: ")[2]
        if choice and choice[1] == "COMMAND":
            self._refuse(f"unknown command `{choice[2]}`", choice[2], self.commands)
        if choice:
            words = re.findall(r"[\w-]+", choice[3])
            self._refuse(f"{choice[1]} `{choice[2]}` is not one of {', '.join(words)}", choice[2], words)
        if missing:
            self._refuse(f"missing argument: {missing}")
        self._refuse(message)

    def check_known(self, unknown: Iterable[str]) -> None:
        """Raise `ConfigError` for arguments that nobody asked for."""
        names = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        if names:
            self._refuse(f"unknown option `{names[0]}`", names[0], self._option_string_actions)
        self._refuse("unexpected argument")

    def _refuse(self, what: str, word: str = "", words: Iterable[str] = ()) -> NoReturn:
        near = _near(word, words)
        meant = f"did you mean `{near}`? " if near else ""
        raise ConfigError(f"`{self.prog}`: {what}", hint=f"{meant}`{self.prog} --help` explains it")


def _near(word: str, words: Iterable[str]) -> str:
    import difflib  # late: only a mistake needs it

    return next(iter(difflib.get_close_matches(word, list(words), n=1, cutoff=NEAR)), "")
