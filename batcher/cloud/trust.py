"""Whose certificates are trusted: the system's roots and one file of the user's; and what to do about a refusal."""

import ssl
from pathlib import Path

from batcher.errors import ConfigError

_CA_HINT = "`cloud.ca_file` names a file with the certificates of your certificate authority, in PEM"

# Verification codes of OpenSSL 3 (`x509_vfy.h`, the numbers are part of its interface), and what helps.
_ISSUER = frozenset({2, 18, 19, 20, 21})
_TIME = frozenset({9, 10})
_NAME = frozenset({62, 64})


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """A TLS client that verifies name and chain against the system's roots and `ca_file`.

    The system's roots follow `SSL_CERT_FILE` and `SSL_CERT_DIR`, as everywhere in OpenSSL. Raises `ConfigError`
    for a file that cannot be read or holds no certificate.
    """
    context = ssl.create_default_context()
    if ca_file is None:
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except ssl.SSLError:
        raise ConfigError(f"`{ca_file}` holds no certificate in PEM form", hint=_CA_HINT) from None
    except OSError as error:
        raise ConfigError(f"cannot read the CA file `{ca_file}`: {error.strerror or error}", hint=_CA_HINT) from None
    return context


def refusal(error: Exception) -> tuple[str, str]:
    """Why a certificate was refused, and what to do about it; both in the reader's words."""
    reason = str(getattr(error, "verify_message", "")) or "it is not valid"
    code = getattr(error, "verify_code", None)
    if code in _ISSUER:
        return reason, "if the certificate is of a private certificate authority, set `cloud.ca_file`"
    if code in _TIME:
        return reason, "check the clock of this machine; else the certificate has to be renewed"
    if code in _NAME:
        return reason, "the endpoint must be named as its certificate names it"
    return reason, "check the endpoint and what stands between it and this machine"
