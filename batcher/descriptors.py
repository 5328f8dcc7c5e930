"""How many files and sockets this process may have open, and how many of those are for connections to the provider.

The ledger, the reports, the control socket and the name service come first: what they need is kept from connections.
"""

import resource

KEPT = 64
"""Descriptors for everything but connections: the ledger's files, 16 clients of the control socket, a report's files,
standard streams, the event loop; the rest is for what libraries open for a moment.
"""
CONNECTIONS_MAX = 4352
"""Sockets of one run, however many descriptors there are: for 64 lanes of 64 rows, and a listing for 16 of those."""
CONNECTIONS_MIN = 4
SOFT_MAX = 65_536
"""To so many descriptors the soft limit is raised where the hard one is as high, or is none."""


def raise_soft_limit() -> None:
    """Let this process open as many files as its hard limit allows; a library must not do that, a command may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SOFT_MAX if hard == resource.RLIM_INFINITY else min(hard, SOFT_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # the system has a limit of its own below the hard one; the soft one stays
            return


def connections_max(*, with_server: bool) -> int:
    """How many connections this process may have; `with_server`: their other ends are in this process too."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return CONNECTIONS_MAX if limit == resource.RLIM_INFINITY else connections_of(limit, with_server=with_server)


def calls_of(connections: int) -> int:
    """How many rows can be worked side by side over so many connections: a few are for listings beside them. Pure."""
    return max(1, connections * 16 // 17)


def connections_of(descriptors: int, *, with_server: bool) -> int:
    """The same for so many descriptors. Pure."""
    free = (descriptors - KEPT) // (2 if with_server else 1)
    return max(CONNECTIONS_MIN, min(CONNECTIONS_MAX, free))
