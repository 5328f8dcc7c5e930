"""A run that was killed in the middle of its sends: made once, copied for each test."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.clouds import Cloud, cloud
from tests.storage.begun import Begun, make_begun


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    with ThreadPoolExecutor(1) as thread:  # a loop of its own, beside those of the tests
        return thread.submit(asyncio.run, make_begun(tmp_path_factory.mktemp("begun") / "begun")).result()


@pytest.fixture
async def sky(begun: Begun) -> AsyncIterator[Cloud]:
    """A new cloud where that of the killed run was: a run is gone on with at its own endpoint."""
    async with cloud(port=begun.port) as found:
        yield found
