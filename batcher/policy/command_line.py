"""A command line as others may read it: what carries a secret is masked. Pure."""

import re
from collections.abc import Sequence
from typing import Final

MASK: Final = "***"
_USER: Final = re.compile(r"(?<=//)[^/?#\s]*@")
"""User and password of a URL."""
_QUERY: Final = re.compile(
    r"((?:^|[?&;])[^=&;\s]*(?:secret|token|passw|key|signature)[^=&;\s]*=)[^&;#\s]*", re.IGNORECASE
)
"""A parameter of a URL that tells what only its owner may know."""
_SECRET_FLAG: Final = re.compile(r"--?[a-z-]*(?:secret|token|passw|key)[a-z-]*", re.IGNORECASE)
_NAMES_A_VARIABLE: Final = "-env"
"""How a flag ends that takes the name of a variable, and not the secret itself."""


def shown_words(words: Sequence[str]) -> list[str]:
    """The words with `***` for the values of flags that carry secrets, and for users and passwords of URLs."""
    shown, masks_next = [], False
    for word in words:
        flag, equals, _ = word.partition("=")
        is_secret = _SECRET_FLAG.fullmatch(flag) is not None and not flag.endswith(_NAMES_A_VARIABLE)
        if masks_next:
            shown.append(MASK)
        elif is_secret and equals:
            shown.append(f"{flag}={MASK}")
        else:
            text = _USER.sub(f"{MASK}@", word)
            shown.append(_QUERY.sub(rf"\g<1>{MASK}", text) if "://" in text else text)
        masks_next = is_secret and not equals and not masks_next
    return shown
