"""Known secrets, and a scan for them: in any spelling, whole or in part, in what was said and in every file.

A scan looks for each secret as it is, in base64 (at any offset), percent-encoded, as JSON and HTML write it and in
hex, for its head and its tail, since half a token is a leak too, and for headers and signatures of any value.
"""

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from urllib.parse import quote, quote_plus

from tests.e2e.commands import EMULATOR_KEYS, Ended

ACCESS, SECRET = "AKOFTHETESTS0123456Z", 'first-sk/of+the"tests&5f1c='
SECURITY_TOKEN = "first-sts-token/of+the~tests==77aa"
AUTH_TOKEN = "MIIfirst-auth-token/of+the=tests==" + "99bb" * 20
NORTH_ACCESS, NORTH_SECRET = "north.access-key/of+tests", "north-sk|of;the'tests<8e2d>"
META_ACCESS, META_SECRET = "HSTMETAACCESSOFTESTS", "meta-sk-of-the-tests-41cc"
META_TOKEN, SESSION_TOKEN = "meta-sts-of-the-tests-52dd", "meta-session-of-the-tests-63ee"
PROXY_USER, PROXY_PASSWORD = "proxy-user-of-tests", "proxy@word/of:tests#74ff"
"""The password needs encoding in a URL; `PROXY` has it so."""
PROXY = f"{PROXY_USER}:{quote(PROXY_PASSWORD, safe='')}"

SECRETS = (
    ACCESS,
    SECRET,
    SECURITY_TOKEN,
    AUTH_TOKEN,
    NORTH_ACCESS,
    NORTH_SECRET,
    META_ACCESS,
    META_SECRET,
    META_TOKEN,
    SESSION_TOKEN,
    PROXY_USER,
    PROXY_PASSWORD,
    *EMULATOR_KEYS.values(),
)
KEYS = {
    "HUAWEICLOUD_SDK_AK": ACCESS,
    "HUAWEICLOUD_SDK_SK": SECRET,
    "HUAWEICLOUD_SDK_SECURITY_TOKEN": SECURITY_TOKEN,
}
TOKEN = {"HW_AUTH_TOKEN": AUTH_TOKEN}
SIGNATURE = "5ca1ab1e" * 8
QUICK = "[cloud]\nconnect_timeout_s = 2\n[run]\nattempts_max = 2\nbackoff_base_s = 0.01\nbackoff_cap_s = 0.02\n"

_PART_CHARACTERS = 12
_SHOWN_BYTES = 60
_LEAKS_SHOWN = 20
# A zero is no value: in a database it begins the number of the page on which a text goes on.
_HEADERS = re.compile(
    rb"Signature\W{1,4}[0-9a-f]{16,}"
    rb"|(?:Proxy-)?Authorization[\"'\\]{0,3}\s?[:=]\s?[\"'\\]{0,3}[^\s\0\"'\\*|,;&]"
    rb"|X-(?:Security|Auth|Metadata)-Token[\"'\\]{0,3}\s?[:=]\s?[\"'\\]{0,3}[^\s\0\"'\\*|,;&]"
    rb"|SDK-HMAC-SHA256[ +%]\w*Access",
    re.IGNORECASE,
)


def secrets_in(content: bytes) -> list[str]:
    """The spellings of secrets, and the headers of any value, that bytes hold; each with what stands around it."""
    lowered = content.lower()
    places = [place for form in _forms() if (place := content.find(form)) >= 0]
    places += [place for digits in _hex_forms() if (place := lowered.find(digits)) >= 0]
    places += [match.start() for match in _HEADERS.finditer(content)]
    return [repr(content[max(place - _SHOWN_BYTES, 0) : place + _SHOWN_BYTES]) for place in sorted(set(places))]


def leaks(folder: Path, *ended: Ended, own: Iterable[Path] = ()) -> list[str]:
    """Where a secret stands in what commands said, or in any file but the user's `own`, hidden ones included."""
    said = [text for command in ended for text in (command.out, command.err)]
    found = [f"said: {leak}" for text in said for leak in secrets_in(text.encode())]
    for path in files_of(folder, own):
        found += [f"{path.name}: {leak}" for leak in secrets_in(path.name.encode() + b"\n" + path.read_bytes())]
    return found


def assert_none(found: Iterable[str]) -> None:
    """Fail with the first leaks of those found, if there is any."""
    lines = sorted(set(found))
    assert not lines, "\n".join([f"{len(lines)} leaks", *lines[:_LEAKS_SHOWN]])


def files_of(folder: Path, own: Iterable[Path] = ()) -> list[Path]:
    """Every file below a folder but those given."""
    left_out = {path.resolve() for path in own}
    return [path for path in folder.rglob("*") if path.is_file() and path.resolve() not in left_out]


def spellings(text: str) -> Iterator[bytes]:
    """A text as programs write it: escaped, encoded, and as the part of a longer text in base64."""
    raw = text.encode()
    yield raw
    for safe in ("", "/"):
        encoded = quote(text, safe=safe)
        yield encoded.encode()
        yield quote(encoded, safe="").encode()
        yield re.sub("%..", lambda found: found[0].lower(), encoded).encode()
    yield quote_plus(text).encode()
    escaped = json.dumps(text)[1:-1]
    yield escaped.encode()
    yield escaped.replace("/", r"\/").encode()
    yield json.dumps(escaped)[1:-1].encode()
    yield repr(text)[1:-1].encode()
    yield html.escape(text).encode()
    for offset in range(3):  # what stands before it shifts its bits; the ends depend on its neighbours
        whole = base64.b64encode(bytes(offset) + raw)[offset and 4 :]
        inner = whole[: len(whole) // 4 * 4 - 4]
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")


@cache
def _forms() -> tuple[bytes, ...]:
    whole = {form for secret in SECRETS for form in spellings(secret)}
    parts = {part.encode() for secret in SECRETS for part in (secret[:_PART_CHARACTERS], secret[-_PART_CHARACTERS:])}
    return tuple(sorted(whole | parts))


@cache
def _hex_forms() -> tuple[bytes, ...]:
    return tuple(binascii.hexlify(secret.encode()) for secret in SECRETS)
