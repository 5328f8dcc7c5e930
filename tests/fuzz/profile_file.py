"""The reader of the credentials profile file."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from batcher.cloud.credentials import from_profile
from batcher.cloud.profile import ProfileFile
from batcher.errors import CredentialsError
from tests.fuzz.draw import is_sound

_FOLDER = TemporaryDirectory(prefix="batcher-fuzz-")
_PATH = Path(_FOLDER.name) / "credentials"
_HEADER = re.compile(r"[\x21-\x7e]*")

SEEDS = (
    b"[basic]\nak = AK123\nsk = s3cr3t\nsecurity_token = t\n[other]\nauth_token = MII\n",
    b"[basic]\nak=\nsk\n",
    b"[basic]\nak = a\n  b\nsk = c\n",
    b"[basic]\r\nak: x\r\nsk: y\r\nproject_id: 566bf9d7c55a45f8d1a6e55e9b9b1325\r\n",
    b"[basic]\nproject_id = \xef\xbc\x95\nak=a\nsk=b\n",
    b"ak = x\n",
    b"[basic]\nak = x\nak = y\n",
    b"[basic]\n[basic]\n",
    b"[DEFAULT]\nak = x\nsk = y\n[basic]\n",
    b"\xef\xbb\xbf[basic]\nak = x\nsk = y\n",
    b"[basic]\n  ak = x\n    sk\n",
    b" [basic]\n\tak = x\n",
    b"[basic\nak = x\n",
    b"[]\nak = x\n= y\n",
    b"[basic]\nak = %(x)s\nsk = ${y}\n",
    b"[basic]\nak = \x85x\nsk = \xe2\x80\xa8y\n",
    b"\xff\xfe",
    b"[basic]\n" + b"k = v\n" * 500,
)
TOKENS = (
    "[basic]",
    "[other]",
    "ak",
    "sk",
    "security_token",
    "auth_token",
    "project_id",
    " = ",
    "\n  ",
    "#",
    ";",
    "[DEFAULT]",
)


def check(data: bytes) -> None:
    """Credentials whose parts fit into headers, or a `CredentialsError` that quotes nothing."""
    _PATH.write_bytes(data)
    for account in ("default", "other", "DEFAULT"):
        try:
            found = from_profile(account, {}, ProfileFile(_PATH))
        except CredentialsError as error:
            is_sound(error, needs_hint=True)
            assert error.__context__ is None
            continue
        if found is not None:
            assert all(map(_HEADER.fullmatch, (found.access_key, found.security_token, found.auth_token)))
            assert found.auth_token or (found.access_key and found.secret_key)
