"""Pages of anything that is listed: filters, one sort key, and a marker that is the last id of the page before."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batcher.emulator.bodies import PageQuery
from batcher.emulator.state import State

Row = Sequence[Any]
Item = dict[str, object]


@dataclass(frozen=True, slots=True)
class Listing:
    """What can be listed: a SELECT whose first column is `id`, and the item that each row becomes.

    The SELECT names every column that is a scope, a filter or a sort key; `values` are those that it uses itself.
    """

    select: str
    item: Callable[[Row], Item]
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """One page; `marker` is None on the last one, `total` counts all that match the filters."""

    items: list[Item]
    marker: str | None
    total: int


class UnknownMarkerError(Exception):
    """The item that a marker names is gone, and with it the place in an order by name or state."""


def page(state: State, listing: Listing, scope: Mapping[str, str], query: PageQuery) -> Page:
    """Read one page. In the order of ids a marker holds its place even when its item is gone.

    Raises UnknownMarkerError in the other orders.
    """
    values: dict[str, object] = {**listing.values, **scope}
    terms = [f"{column} = :{column}" for column in scope]
    for column, wanted in query.filters.items():
        names = [f"{column}_{place}" for place in range(len(wanted))]
        values.update(zip(names, wanted, strict=True))
        terms.append(f"{column} IN ({', '.join(f':{name}' for name in names)})")
    source = f"FROM ({listing.select})"
    matching = f"{source} WHERE {' AND '.join(terms)}"
    total = int(state.db.execute(f"SELECT count(*) {matching}", values).fetchone()[0])
    order = "id" if query.sort_key == "id" else f"{query.sort_key}, id"
    after = ""
    if query.marker is not None:
        compare = "<" if query.descending else ">"
        places = ":marker"
        values["marker"] = query.marker
        if query.sort_key != "id":
            values["place"] = _place(state, f"SELECT {query.sort_key} {matching} AND id = :marker", values)
            places = ":place, :marker"
        after = f" AND ({order}) {compare} ({places})"
    direction = " DESC" if query.descending else ""
    ordered = ", ".join(column + direction for column in order.split(", "))
    sql = f"SELECT * {matching}{after} ORDER BY {ordered} LIMIT :limit"
    rows = state.db.execute(sql, {**values, "limit": query.limit + 1}).fetchall()
    more = len(rows) > query.limit
    kept = rows[: query.limit]
    return Page([listing.item(row) for row in kept], str(kept[-1][0]) if more else None, total)


def _place(state: State, sql: str, values: Mapping[str, object]) -> object:
    row = state.db.execute(sql, values).fetchone()
    if row is None:
        raise UnknownMarkerError(values["marker"])
    return row[0]
