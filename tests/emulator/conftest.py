"""What the emulator's tests share: a client of an emulator with default settings."""

from collections.abc import AsyncIterator

import pytest

from tests.emulator.client import Client, talking


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with talking() as client:
        yield client
