"""The record of an attempt is one line of at most 1 KiB, whatever the job holds."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from ds.jobs.record import MAX_BYTES, Record, shorten

PLAIN = Record(
    job_id="c24f0a46dc07d0a6",
    group={"plate": "P1", "n": 3, "none": None, "keys": ["a", "b"]},
    attempt=1,
    start="2026-01-31T12:00:00.000+00:00",
    outcome="failed",
    worker="ip-10-0-0-1.ec2.internal-7",
    slot=0,
    seconds=12.345,
    phases={"fetch": 1.5, "run": 10.0, "check": 0.1, "upload": 0.7},
    exit_code=3,
    peak_memory_mb=200,
    bytes_in=10**12,
    bytes_out=10**12,
    reason="exit code 3: no such file",
)


def test_a_record_that_fits_is_complete() -> None:
    assert json.loads(PLAIN.line()) == asdict(PLAIN)


@pytest.mark.parametrize(
    "change",
    [
        {"reason": "x" * 100_000},
        {"reason": "\N{GRINNING FACE}" * 100_000},
        {"reason": "line\n" * 1000},
        {"group": {"text": "x" * 100_000}},
        {"group": {f"variable_{i}": "x" * 100 for i in range(500)}},
        {
            "group": {
                "\N{GRINNING FACE}" * 500 + str(i): "\N{GRINNING FACE}" * 500 for i in range(99)
            }
        },
        {"group": {"keys": [f"a/long/key/{i}" for i in range(10_000)]}},
        {"worker": "h" * 253 + "-4194304"},
        {
            "reason": "\N{GRINNING FACE}" * 999,
            "group": {"\N{GRINNING FACE}": "\N{GRINNING FACE}" * 999},
            "worker": "h" * 253,
        },
    ],
    ids=lambda change: str(change)[:40],
)
def test_a_record_that_does_not_fit_is_cut_but_keeps_what_reports_count(
    change: dict[str, object],
) -> None:
    record = replace(PLAIN, **change)  # type: ignore[arg-type]
    line = record.line()
    assert len(line.encode()) <= MAX_BYTES
    assert "\n" not in line
    document = json.loads(line)
    for name in ("job_id", "attempt", "outcome", "seconds", "phases", "exit_code", "bytes_in"):
        assert document[name] == asdict(PLAIN)[name]
    assert document["reason"][:15] == record.reason[:15]


def test_a_long_reason_is_cut_before_the_group_is() -> None:
    document = json.loads(replace(PLAIN, reason="x " * 5000).line())
    assert document["group"] == PLAIN.group
    assert 290 < len(document["reason"]) <= 300


KEY = "s3://bucket/" + "/".join(f"folder-{n}" for n in range(90)) + "/image.tif"


@pytest.mark.parametrize(
    ("text", "most", "short"),
    [
        ("", 40, ""),
        ("exit code 3: no such file", 40, "exit code 3: no such file"),
        ("x" * 40, 40, "x" * 40),
        ("x" * 20 + "y" * 21, 40, "x" * 18 + "..." + "y" * 18),
        (
            f"{KEY}: SlowDown",
            200,
            f"{KEY[:38]}...{KEY[-37:]}: SlowDown",
        ),
        (f"{KEY}: SlowDown", 1000, f"{KEY}: SlowDown"),
        ("one two three four five six seven", 25, "one two ... six seven"),
        ("one two three\nfour five six seven", 25, "one two ... six seven"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_text_is_shortened_in_its_middle(text: str, most: int, short: str) -> None:
    assert shorten(text, most) == short


def test_no_word_of_a_short_key_is_cut() -> None:
    words = [f"in/plate-{n}/well.tif" for n in range(99)]
    short = shorten(" ".join(words), 300)
    assert set(short.split()) - {"..."} < set(words)
