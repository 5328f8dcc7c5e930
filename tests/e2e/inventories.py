"""Inventories of any size, the same at every call."""

import csv
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

COLUMNS = ("er_id", "resource_id", "log_group_id", "log_stream_id", "name", "project_id", "region", "owner")


def some_uuid(text: str) -> str:
    """A UUID that follows from a text."""
    return str(uuid.UUID(hashlib.md5(text.encode()).hexdigest()))


def some_project(number: int) -> str:
    """A project id."""
    return hashlib.md5(f"project {number}".encode()).hexdigest()


def row(number: int, *, routers: int = 3, projects: int = 2, salt: str = "") -> dict[str, str]:
    """The n-th row of an inventory: its own attachment, on one of the routers, each router in one project."""
    router = number % routers
    return {
        "er_id": some_uuid(f"router {router}"),
        "resource_id": some_uuid(f"attachment {salt}{number}"),
        "log_group_id": some_uuid("group"),
        "log_stream_id": some_uuid("stream"),
        "name": f"fl-{number}",
        "project_id": some_project(router % projects),
        "region": "cn-north-4",
        "owner": f"team {number % 7}",
    }


def some_rows(
    count: int, *, routers: int = 1, projects: int = 1, salt: str = "", **changes: str
) -> list[dict[str, str]]:
    """The first rows, each with these changes; others with another `salt`."""
    return [{**row(number, routers=routers, projects=projects, salt=salt), **changes} for number in range(count)]


def write_inventory(path: Path, rows: int, *, routers: int = 3, projects: int = 2) -> Path:
    """A CSV of so many rows."""
    return write_rows(path, [row(number, routers=routers, projects=projects) for number in range(rows)])


def write_rows(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """A CSV of these rows, with the columns of the first."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
