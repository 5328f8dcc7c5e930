"""Listings that lie: what they say in place of the page that was asked for. A script decides which (`faults.Rule`).

Whatever a page leaves out or adds, `total_count` stays as it is: it counts what is there.
"""

from dataclasses import replace

from batcher.emulator.bodies import PageQuery
from batcher.emulator.faults import Kind
from batcher.emulator.pages import Page

MARKER_LEFT = "1"
"""The marker that the provider's samples show on a page that already holds everything (ListFlowLogs, 2025-12-15)."""


def heard(lie: Kind | None, query: PageQuery) -> PageQuery:
    """The page that is read in place of the one that was asked for."""
    return replace(query, marker=None) if lie is Kind.PAGE_REPEATED else query


def told(lie: Kind | None, page: Page) -> Page:
    """The page that is shown in place of the one that was read."""
    match lie:
        case Kind.MARKER_LEFT:
            return replace(page, marker=page.marker or MARKER_LEFT)
        case Kind.PAGE_EMPTY:
            return replace(page, items=[], marker=None)
        case Kind.PAGE_SHORT:
            return replace(page, items=page.items[: len(page.items) // 2], marker=None)
        case _:
            return page
