"""Who works a run, as its report says it: version, host, user, process and command line, without secrets."""

import os
import pwd
import re
import shlex
import socket
from collections.abc import Mapping, Sequence

from batcher.cloud.wire import redact
from batcher.policy.command_line import shown_words
from batcher.version import __version__

COMMAND_CHARS_MAX = 2_000
"""Of a command line that is shown."""
SECRET_CHARS_MIN = 6
"""Of a variable's value that is taken for a secret: what is shorter stands everywhere."""
_SECRET_NAME = re.compile(r"(?:^|_)(?:[AS]K|SECRET|TOKEN|PASSWORD|PASSWD|KEY)(?:_|$)", re.IGNORECASE)


def this_process(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, object]:
    """This process for a reader. `command`: its words, none of a program that imports batcher.

    What a variable of the environment holds whose name tells of a secret is masked, wherever it stands in a word.
    """
    secrets = [
        value for name, value in environment.items() if _SECRET_NAME.search(name) and len(value) >= SECRET_CHARS_MIN
    ]
    text = redact(shlex.join(["batcher", *shown_words(command)]), secrets) if command else ""
    return {
        "version": __version__,
        "host": socket.gethostname(),
        "user": _user(),
        "pid": os.getpid(),
        "command": text.encode("utf-8", "backslashreplace").decode()[:COMMAND_CHARS_MAX] or None,
    }


def _user() -> str:
    """The name of the user whose rights this process has, or its number where it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
