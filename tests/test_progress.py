"""The progress bar, by a clock that the test turns."""

from __future__ import annotations

import pytest

from xpatch import report


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(report.time, "monotonic", found)
    return found


def shown(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    return err


def line(err):
    return err.rstrip("\n").split("\r")[-1].rstrip()


def test_the_bar_stands_there_at_once(clock, capsys):
    report.Bar(500)
    assert shown(capsys) == "\r[" + " " * 40 + "] 0/500 patches, 0.0 s"


def test_it_says_how_fast_and_how_long_still(clock, capsys):
    bar = report.Bar(500)
    clock.now += 12.0
    assert not bar(120)
    # 380 patches at 10 a second
    expected = "[" + "#" * 9 + " " * 31 + "] 120/500 patches, 12.0 s, 10 a second, 38 s left"
    assert line(shown(capsys)) == expected


@pytest.mark.parametrize(
    ("seconds", "left"),
    [(1, "9 s"), (10, "1 min 30 s"), (60, "9 min 0 s"), (1000, "2 h 30 min"), (0.05, None)],
)
def test_what_is_left_in_two_units(clock, capsys, seconds, left):
    bar = report.Bar(10)
    clock.now += seconds
    bar(1)
    err = shown(capsys)
    assert line(err).endswith(f"{left} left") if left else err.count("\r") == 1  # not yet again


def test_a_line_covers_the_longer_one_before(clock, capsys):
    bar = report.Bar(1000)
    clock.now += 100.0
    bar(1)
    before = shown(capsys).split("\r")[-1]
    clock.now += 1.0
    assert bar(999)
    after = shown(capsys)
    assert after.endswith("\n")
    assert after.count("\n") == 1
    assert line(after).endswith("1000/1000 patches, 101.0 s")
    assert len(after.split("\r")[-1].rstrip("\n")) >= len(before)


def test_of_no_patches_nothing_is_drawn(clock, capsys):
    report.Bar(0)
    assert shown(capsys) == ""


def test_it_is_drawn_no_oftener_than_it_can_be_read(clock, capsys):
    bar = report.Bar(1000)
    for _ in range(999):
        clock.now += 0.001
        bar(1)
    assert shown(capsys).count("\r") <= 11


def test_the_clock_of_a_run_begins_with_its_first_block(clock, capsys):
    tick = report.Ticker("a run", 4)
    clock.now += 50.0  # until it is computed
    tick.begin()
    clock.now += 10.0
    tick(2)
    assert line(shown(capsys)).endswith("2/4 patches, 10.0 s, 0.2 a second, 10 s left")
    tick(2)
    assert "4/4 patches, 10.0 s" in shown(capsys)
    assert "a run" not in report.Ticker.bars
