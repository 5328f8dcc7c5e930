"""The world of a night: who provides, what stands there beforehand, what others make, and what of it heals."""

import asyncio
import csv
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from batcher.emulator import fates, flow_logs, inventory
from batcher.emulator.answers import BEING_OPERATED
from batcher.emulator.bodies import PAGE_ITEMS_MAX, NewFlowLog
from batcher.emulator.faults import FaultShares, Kind, Rule, Script
from batcher.emulator.routes import Api
from batcher.emulator.settings import EmulatorSettings
from batcher.emulator.state import State
from tests.simulation.judge import place_of, things_of
from tests.simulation.night import KEYS, REGION, SOUTH, Night, Row, Stranger
from tests.simulation.provider import Provider
from tests.virtual_time import EPOCH

LONG_AGO = EPOCH - 1e6
"""When what stands there beforehand was made."""


class World:
    """All that is outside of the machines. `folder` gets the inventory and the credentials."""

    def __init__(self, night: Night, folder: Path, chance: random.Random) -> None:
        self.night = night
        self.inventory = folder / "inventory.csv"
        self._home = folder
        self._chance = chance
        self._states = [State(None, night.seed + number) for number in range(2 if self._has_two_providers else 1)]
        self.providers = [self._provider(number, state) for number, state in enumerate(self._states)]
        self._furnish()

    def close(self) -> None:
        """Let go of what the providers know."""
        for state in self._states:
            state.close()

    @property
    def _has_two_providers(self) -> bool:
        return self.night.is_two_regions or self.night.is_moved

    def site(self, *, moved: bool) -> Mapping[str, int]:
        """Which provider serves each region, as settings have it that are `moved` or not."""
        return {REGION: int(moved), SOUTH: int(self.night.is_two_regions)}

    def _provider(self, number: int, state: State) -> Provider:
        night, nature, loop = self.night, self.night.nature, asyncio.get_running_loop()
        settings = EmulatorSettings(
            keys=KEYS,
            pending_s=night.pending_s,
            page_max=night.page_max,
            throttle=night.throttle,
            quota=night.quota,
            faults=night.faults,
            listing_lag_s=nature.listing_lag_s,
            delete_lag_s=nature.delete_lag_s,
            deleting_s=nature.deleting_s,
            tombstones=nature.tombstones,
            unique=nature.unique,
            seed=night.seed,
            now=lambda: EPOCH + nature.ahead_s[number] + loop.time(),
        )
        api = Api(settings, state)
        lies = [_lie(kind, skip) for kind, skip in night.lies]
        api.script = Script([*lies, *(_busy(skip, times) for skip, times in night.busy)])
        return Provider(api, night.network, night.outages, self._chance, nature.ahead_s[number], nature.is_stale)

    def _furnish(self) -> None:
        with self.inventory.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.night.rows[0]))
            writer.writeheader()
            writer.writerows(self.night.rows)
        profile = self._home / ".huaweicloud" / "credentials"
        profile.parent.mkdir()
        sections = zip(("basic", "other"), KEYS.items(), strict=True)
        profile.write_text("".join(f"[{name}]\nak = {ak}\nsk = {sk}\n" for name, (ak, sk) in sections))
        profile.chmod(0o600)
        for number, provider in enumerate(self.providers):
            with provider.api.state.transaction():
                self._put_what_is_there(provider.api.state, number)
            provider.passed_over()

    def _put_what_is_there(self, state: State, number: int) -> None:
        site = self.site(moved=False)
        for row in self.night.there:
            if site[row["region"]] == number:
                _put(state, row, LONG_AGO)
        for row in self.night.frozen:
            place = {"project_id": row["project_id"], "er_id": row["er_id"], "id": row["resource_id"]}
            inventory.put_attachment(state, {**place, "state": "freezed"}, LONG_AGO)
        for row, fate in self.night.fates:
            fates.put_fate(state, _attachment(row), fate, EPOCH)

    def make_by_hand(self, stranger: Stranger) -> None:
        """Somebody makes what a row asks for, unless something is there."""
        row = self.night.rows[stranger.row]
        row = row if stranger.as_wished else {**row, "name": "by-hand"}
        provider = self.providers[self.site(moved=False)[row["region"]]]
        if not any(thing.is_live for thing in things_of(provider).get(place_of(row), [])):
            with provider.api.state.transaction():
                _put(provider.api.state, row, provider.api.now())
            provider.passed_over()

    def forget_tokens(self) -> None:
        """The providers take every create for a new one from now on."""
        for provider in self.providers:
            provider.api.state.forget_tokens()

    def heal(self) -> None:
        """Nothing goes wrong any more, and what waited is decided; providers stay what they are by nature."""
        for provider in self.providers:
            api = provider.api
            provider.heal()
            api.script = Script()
            healed = replace(api.settings, pending_s=0.0, page_max=PAGE_ITEMS_MAX, throttle=None, quota=-1)
            api.change_settings(replace(healed, faults=FaultShares()))
            with api.state.transaction():
                for row, _ in self.night.fates:
                    if fates.fate_of(api.state, _attachment(row)) == "pending":
                        fates.put_fate(api.state, _attachment(row), "available", api.now())


def _attachment(row: Row) -> tuple[str, str, str]:
    return row["project_id"], row["er_id"], row["resource_id"]


def _lie(kind: str, skip: int) -> Rule:
    return Rule(operation="list", fault=Kind(kind), skip=skip)


def _busy(skip: int, times: int) -> Rule:
    return Rule(
        operation="create",
        fault=Kind.STATUS,
        skip=skip,
        times=times,
        status=400,
        code=BEING_OPERATED,
        message="a task is being operated",
    )


def _put(state: State, row: Row, at: float) -> None:
    """What nobody made with batcher: it has no token."""
    new = NewFlowLog(
        name=row["name"],
        description=row["description"],
        resource_id=row["resource_id"],
        log_group_id=row["log_group_id"],
        log_stream_id=row["log_stream_id"],
    )
    made = flow_logs.insert(
        state,
        new,
        project_id=row["project_id"],
        er_id=row["er_id"],
        at=at,
        ready_at=at,
        final_state="available",
        seeded=True,
    )
    state.db.execute("UPDATE flow_logs SET enabled = ? WHERE n = ?", (row["enabled"] == "true", made))
