from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batcher.ledger.open import open_ledger
from batcher.ledger_port import Ledger


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "reports" / "ledger.db"


@pytest.fixture
async def ledger(place: Path) -> AsyncIterator[Ledger]:
    async with open_ledger(str(place)) as opened:
        yield opened
