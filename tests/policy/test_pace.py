"""The rate law: what a pace lets through never exceeds the window that it was made from, however it is used."""

import bisect
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.model import Window
from batcher.policy.pace import (
    GRAIN_S,
    JITTER_S,
    Pace,
    pace_of,
    parse_duration,
    parse_rate,
    pause_s,
    rate_text,
    stricter,
)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("10/s", Window(10, 1.0)),
        ("100/min", Window(100, 60.0)),
        ("600/10min", Window(600, 600.0)),
        ("3600/h", Window(3600, 3600.0)),
        ("1/s", Window(1, 1.0)),
        ("5/2s", Window(5, 2.0)),
        ("5/2sec", Window(5, 2.0)),
        ("7/m", Window(7, 60.0)),
        ("7/minute", Window(7, 60.0)),
        ("7/3second", Window(7, 3.0)),
        ("7/2hour", Window(7, 7200.0)),
        (" 100 / Min ", Window(100, 60.0)),
        ("9999999/99999h", Window(9_999_999, 99_999 * 3600.0)),
    ],
)
def test_a_rate_is_calls_per_time(text: str, window: Window) -> None:
    assert parse_rate(text) == window


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "/s",
        "10/",
        "10/d",
        "10/day",
        "10/seconds",
        "0/s",
        "10/0s",
        "-1/s",
        "1.5/s",
        "10/1.5s",
        "10 s",
        "10/s/s",
        "10/s fast",
        "12345678/s",
        "1/123456s",
        "ten/s",
        "auto",
    ],
)
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"`10/s` or `100/min`") as refusal:
        parse_rate(text)
    assert f"`{text}`" in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6h", 21_600.0),
        ("90min", 5400.0),
        ("45s", 45.0),
        ("1m", 60.0),
        ("2hour", 7200.0),
        ("3minute", 180.0),
        ("10sec", 10.0),
        (" 6 H ", 21_600.0),
        ("99999h", 99_999 * 3600.0),
    ],
)
def test_a_time_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "6", "h", "0h", "-6h", "1.5h", "6h30min", "6 days", "100000h", "500ms", "6/h", "22:00", "nan", "infs"]
)
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="`6h` or `90min`") as refusal:
        parse_duration(text)
    assert f"`{text}`" in str(refusal.value)


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (Window(10, 1.0), "10/s"),
        (Window(100, 60.0), "100/min"),
        (Window(3600, 3600.0), "3600/h"),
        (Window(600, 600.0), "600/10min"),
        (Window(5, 86_400.0), "5/24h"),
        (Window(10, 0.5), "10/500ms"),
    ],
)
def test_a_window_is_shown_as_a_rate_that_can_be_given_again(window: Window, text: str) -> None:
    assert rate_text(window) == text
    assert parse_rate(text) == window


# By hand: the bucket is the calls of one timer grain, 1 at least, half the window at most; the rate is
# (N - b) / (T + 0.05).
@pytest.mark.parametrize(
    ("window", "pace"),
    [
        (Window(200, 1.0), Pace(2.0, 198 / 1.05)),
        (Window(10, 1.0), Pace(1.0, 9 / 1.05)),
        (Window(100, 60.0), Pace(1.0, 99 / 60.05)),
        (Window(1000, 1.0), Pace(10.0, 990 / 1.05)),
        (Window(2, 0.001), Pace(1.0, 1 / 0.051)),
        (Window(2, 60.0), Pace(1.0, 1 / 60.05)),
        (Window(1, 60.0), Pace(1.0, 1 / 60.05)),
    ],
)
def test_a_window_gives_the_pace_of_the_law(window: Window, pace: Pace) -> None:
    assert pace_of(window).bucket == pace.bucket
    assert pace_of(window).rate_per_s == pytest.approx(pace.rate_per_s)


@pytest.mark.parametrize(
    ("one", "other", "narrower"),
    [
        (Window(10, 1.0), Window(100, 60.0), Window(100, 60.0)),
        (Window(100, 60.0), Window(10, 1.0), Window(100, 60.0)),
        (Window(10, 1.0), Window(9, 1.0), Window(9, 1.0)),
        (Window(600, 60.0), Window(5, 1.0), Window(5, 1.0)),
    ],
)
def test_the_stricter_of_two_windows_allows_less_in_the_long_run(one: Window, other: Window, narrower: Window) -> None:
    assert stricter(one, other) == narrower


@pytest.mark.parametrize(
    ("asked_s", "window", "chance", "expected_s"),
    [
        (7.0, Window(100, 60.0), 0.0, 7.0),
        (7.0, None, 0.5, 7.35),
        (0.0, Window(100, 60.0), 0.5, 0.0),
        (None, Window(10, 1.0), 0.0, 1.0),
        (None, Window(10, 1.0), 0.5, 1.05),
        (None, None, 0.0, 60.0),
        (None, None, 0.9, 65.4),
    ],
)
def test_a_throttled_lane_is_silent_for_what_was_asked_or_a_window_or_a_minute(
    asked_s: float | None, window: Window | None, chance: float, expected_s: float
) -> None:
    assert pause_s(asked_s, window, chance) == pytest.approx(expected_s)


# --- properties -------------------------------------------------------------------------------------

windows = st.builds(
    Window, calls=st.integers(1, 400), period_s=st.sampled_from([0.1, 0.5, 1.0, 2.0, 10.0, 60.0, 600.0])
)


@given(windows)
def test_the_bucket_is_whole_small_and_leaves_a_rate(window: Window) -> None:
    pace = pace_of(window)
    assert pace.bucket == int(pace.bucket) >= 1
    assert pace.bucket <= max(1.0, window.calls / 2)
    assert pace.rate_per_s > 0
    assert pace.bucket <= max(2.0, window.calls / window.period_s * GRAIN_S + 1)


@given(windows, st.data())
def test_no_window_ever_sees_more_calls_than_it_allows(window: Window, data: st.DataObject) -> None:
    """Bursts and silences in any pattern, each call late by anything up to J."""
    pace = pace_of(window)
    gaps = data.draw(
        st.lists(
            st.just(0.0) | st.floats(0.0, 1.0 / pace.rate_per_s) | st.floats(0.0, 2 * window.period_s), max_size=12
        )
    )
    bursts = data.draw(st.lists(st.integers(1, 120), min_size=len(gaps), max_size=len(gaps)))
    late = data.draw(st.randoms(use_true_random=False))
    wanted = [at for at, burst in zip(itertools.accumulate(gaps), bursts, strict=True) for _ in range(burst)]
    arrivals = sorted(at + late.choice((0.0, JITTER_S, late.uniform(0.0, JITTER_S))) for at in released(wanted, pace))
    assert most_in_a_window(arrivals, window.period_s) <= window.calls


def released(wanted: list[float], pace: Pace) -> list[float]:
    """When a leaky bucket lets calls go that are wanted at these times."""
    level, at = 0.0, 0.0
    times = []
    for want in wanted:
        now = max(want, at)
        level = max(0.0, level - (now - at) * pace.rate_per_s)
        wait_s = max(0.0, level + 1.0 - pace.bucket) / pace.rate_per_s
        at = now + wait_s
        level = max(0.0, level - wait_s * pace.rate_per_s) + 1.0
        times.append(at)
    return times


def most_in_a_window(times: list[float], period_s: float) -> int:
    """The most of the sorted times that any span of the period holds; the grain of floats is let off."""
    return max(
        (bisect.bisect_left(times, start + period_s - 1e-6) - index for index, start in enumerate(times)), default=0
    )
