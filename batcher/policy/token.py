"""Idempotency tokens: the same wish gives the same token on every machine and in every run.

A token is `uuid5(NAMESPACE, canonical text)`; the canonical text is a compact JSON array of the scheme's
version, the place, the fields of the request body and the generation. Changing anything that would be sent
gives another token; changing how the text is built changes every token, so `SCHEME` must grow with it.
(Shape: 8-4-4-4-12 lower-case hex, which the strictest documented service of this cloud asks for; ECS,
"Ensuring idempotency", 2025-11-25.)
"""

import hashlib
from uuid import UUID

from batcher.model import Token

NAMESPACE = UUID("6d0f4b52-61a8-5b0e-9d53-0b1c7f1c2a9e")
SCHEME = 1

_NAMESPACE_SHA1 = hashlib.sha1(NAMESPACE.bytes, usedforsecurity=False)


def derive_token(wish: str, generation: int) -> Token:
    """The token of a generation of a wish; equal to `uuid.uuid5` and a third of its cost.

    `wish` holds the place and the body's fields as the members of a compact ASCII JSON array, without brackets.
    """
    text = f"[{SCHEME},{wish},{generation}]"
    digest = _NAMESPACE_SHA1.copy()
    digest.update(text.encode("ascii"))
    value = digest.hexdigest()
    variant = "89ab"[int(value[16], 16) & 3]
    return Token(f"{value[:8]}-{value[8:12]}-5{value[13:16]}-{variant}{value[17:20]}-{value[20:32]}")
