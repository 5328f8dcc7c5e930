"""The embedded emulator of `--emulator`: what its settings do, and whom it serves."""

from batcher.config import EmulatorSection
from batcher.rehearsal import rehearsal


def test_each_setting_of_its_section_reaches_the_embedded_emulator() -> None:
    given: dict[str, object] = {
        "pending_s": 1.0,
        "listing_lag_s": 2.0,
        "delete_lag_s": 3.0,
        "tombstones": True,
        "unique": False,
        "date_shift_s": -4.0,
        "token_lifetime_s": 5.0,
        "remember_tokens": False,
        "quota": 6,
        "latency_s": 0.5,
        "seed": 7,
    }
    shares = {"refused_before": 0.1, "error_after": 0.2, "lost_after": 0.3, "truncated_after": 0.4}
    section = EmulatorSection.model_validate({**given, **shares, "throttle": "8/s"})
    assert section.model_fields_set == set(EmulatorSection.model_fields)
    settings = rehearsal(section, None)
    assert {name: getattr(settings, name) for name in given} == given
    assert {name: getattr(settings.faults, name) for name in shares} == shares
    assert settings.throttle is not None
    assert (settings.throttle.calls, settings.throttle.period_s) == (8, 1)
