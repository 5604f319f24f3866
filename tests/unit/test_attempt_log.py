"""The log of one attempt: the file has every byte, CloudWatch every line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ds.worker import logs
from ds.worker.logs import LAST_LINES, LONGEST_LINE, MOST_LINES, MOST_SENT_BYTES, AttemptLog

LINE_BYTES = 256 * 1024
"""What CloudWatch takes as one event ("CloudWatch Logs quotas"), with its own 26."""


class Lines:
    """Receives lines instead of CloudWatch."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, job_id: str, text: str) -> None:
        assert job_id == "id"
        assert len(text.encode(errors="replace")) + 100 < LINE_BYTES
        self.lines.append(text)


def logged(folder: Path, pieces: Sequence[bytes | str | float]) -> tuple[bytes, list[str], str]:
    """Log what a program printed (bytes) and the worker reported (texts), with pauses (seconds)."""
    lines = Lines()
    now = [0.0]
    log = AttemptLog(folder / "attempt.log", "id", lines, lambda: now[0])  # type: ignore[arg-type]
    for piece in pieces:
        if isinstance(piece, float):
            now[0] += piece
        elif isinstance(piece, bytes):
            log.program(piece)
        else:
            log.report(piece)
    log.close()
    return log.path.read_bytes(), lines.lines, "|".join(log.last_lines)


@pytest.mark.parametrize(
    ("pieces", "file", "lines", "last"),
    [
        ([], b"", [], ""),
        ([b"a\nb\n"], b"a\nb\n", ["a", "b"], "a|b"),
        ([b"a", b"b\nc", b"\n"], b"ab\nc\n", ["ab", "c"], "ab|c"),
        ([b"no newline"], b"no newline\n", ["no newline"], "no newline"),
        ([b"a\n\n  \n"], b"a\n\n  \n", ["a", "", "  "], "a"),
        ([b"a\r\nb\r\n"], b"a\r\nb\r\n", ["a", "b"], "a|b"),
        ([b"\xff\xfe\n"], b"\xff\xfe\n", ["\ufffd\ufffd"], "\ufffd\ufffd"),
        ([b"\xc3", b"\xa9\n"], b"\xc3\xa9\n", ["é"], "é"),
        ([b"10%\r50%\r100%\n"], b"10%\r50%\r100%\n", ["50%", "100%"], "100%"),
        ([b"10%\r50%\r"], b"10%\r50%\r\n", ["10%", "50%"], "50%"),
        ([b"\x1b[31mbad\x1b[0m\n"], b"\x1b[31mbad\x1b[0m\n", ["\x1b[31mbad\x1b[0m"], "bad"),
        ([b"a\0b\tc\n"], b"a\0b\tc\n", ["a\0b\tc"], "a b c"),
        (["runs x"], b"[ds] runs x\n", ["[ds] runs x"], ""),
        (
            ["begins", b"a\nhalf", "exit code 3"],
            b"[ds] begins\na\nhalf\n[ds] exit code 3\n",
            ["[ds] begins", "a", "half", "[ds] exit code 3"],
            "a|half",
        ),
        (["\ud800"], b"[ds] ?\n", ["[ds] \ud800"], ""),
    ],
    ids=lambda value: str(value)[:30],
)
def test_all_output_and_reports_are_kept(
    tmp_path: Path, pieces: Sequence[bytes | str | float], file: bytes, lines: list[str], last: str
) -> None:
    assert logged(tmp_path, pieces) == (file, lines, last)


@pytest.mark.parametrize(
    ("pieces", "lines", "last"),
    [
        ([b"1%\r", b"2%\r", b"3%\r", b"4%\n"], ["1%", "4%"], "4%"),
        ([b"1%\r", 1.0, b"2%\r", 1.0, b"3%\r", b"4%\n"], ["1%", "2%", "4%"], "4%"),
        ([b"\r1%", b"\r2%", b"\r3%", b"\n"], ["1%", "3%"], "3%"),
        ([b"\r 1%", 1.0, b"\r 2%", 1.0, b"\r 3%"], [" 1%", " 2%", " 3%"], " 3%"),
        ([b"a\n1%\r2%\r3%\nb\n"], ["a", "2%", "3%", "b"], "a|3%|b"),
        ([b"a\n1%\r", b"2%\r", b"failed: x\n"], ["a", "1%", "failed: x"], "a|failed: x"),
        ([b"1%\r\r\n2%\n"], ["1%", "", "2%"], "1%|2%"),
        ([b"a\r", b"\nb\r", b"\n"], ["a", "b"], "a|b"),  # \r\n in two pieces
        ([b"a\r", b"\r", b"\r"], ["a", ""], "a"),
        ([b"1%\r", "stopped"], ["1%", "[ds] stopped"], "1%"),
        ([b"\x1b[2K1%\r\x1b[2K2%\n"], ["\x1b[2K1%", "\x1b[2K2%"], "2%"),
    ],
    ids=str,
)
def test_a_carriage_return_ends_a_line_of_which_one_a_second_is_sent(
    tmp_path: Path, pieces: Sequence[bytes | str | float], lines: list[str], last: str
) -> None:
    file, sent, shown = logged(tmp_path, pieces)
    assert (sent, shown) == (lines, last)
    assert b"".join(p for p in pieces if isinstance(p, bytes)) in file


def test_a_progress_bar_is_a_line_a_second_and_takes_no_memory(tmp_path: Path) -> None:
    bar = [piece for n in range(10_000) for piece in (b"\r%5d/10000 |#####|" % n, 0.01)]
    file, lines, last = logged(tmp_path, bar)
    assert len(file) > 10_000 * 18
    assert 99 <= len(lines) <= 102
    assert last == " 9999/10000 |#####|"


def test_the_last_lines_are_few_and_short(tmp_path: Path) -> None:
    log = AttemptLog(tmp_path / "attempt.log", "id", Lines())  # type: ignore[arg-type]
    for _ in range(2 * LAST_LINES):
        log.program(b"x" * 100_000 + b"\n")
    assert len(log.last_lines) == LAST_LINES
    assert max(map(len, log.last_lines)) <= LONGEST_LINE
    log.close()


@pytest.mark.parametrize("length", [1, LONGEST_LINE - 1, LONGEST_LINE, LONGEST_LINE + 1, 10**6])
@pytest.mark.parametrize("piece", [1 << 16, 100_000_000])
@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("character", ["x", "字"])
def test_a_long_line_is_whole_in_the_file_and_goes_on_in_pieces(
    tmp_path: Path, length: int, piece: int, end: bytes, character: str
) -> None:
    data = character.encode() * length + end
    pieces = [data[i : i + piece] for i in range(0, len(data), piece)]
    file, lines, last = logged(tmp_path, pieces)
    assert file == data.removesuffix(b"\n") + b"\n"
    assert "".join(lines) == character * length
    assert last
    assert set(last) <= {character, "|"}


def test_a_program_that_never_ends_its_line_takes_no_memory(tmp_path: Path) -> None:
    lines = Lines()
    log = AttemptLog(tmp_path / "attempt.log", "id", lines)  # type: ignore[arg-type]
    for _ in range(100):
        log.program(b"x" * (1 << 16))
        assert len(log._rest) <= LONGEST_LINE
    log.close()
    assert sum(map(len, lines.lines)) == 100 << 16


def test_flushed_output_is_in_the_file(tmp_path: Path) -> None:
    log = AttemptLog(tmp_path / "attempt.log", "id", Lines())  # type: ignore[arg-type]
    log.program(b"half a line")
    log.flush()
    assert log.path.read_bytes() == b"half a line\n"
    log.close()


def test_a_program_that_prints_for_ever_does_not_fill_cloudwatch(tmp_path: Path) -> None:
    data = b"".join(b"line %d\n" % i for i in range(3 * MOST_LINES))
    file, lines, last = logged(tmp_path, ["begins", data, "exit code 3"])
    assert file == b"[ds] begins\n" + data + b"[ds] exit code 3\n"
    assert last.endswith(f"|line {3 * MOST_LINES - 1}")
    assert lines[1 : MOST_LINES + 1] == [f"line {i}" for i in range(MOST_LINES)]
    assert lines[MOST_LINES + 1 :] == [
        f"[ds] printed {MOST_LINES} lines or {MOST_SENT_BYTES} bytes: the rest is in S3 only",
        "[ds] exit code 3",
    ]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r"])
@pytest.mark.parametrize("length", [1_000, LONGEST_LINE, 1_000_000])
def test_what_an_attempt_sends_to_cloudwatch_is_limited_in_bytes(
    tmp_path: Path, length: int, end: bytes
) -> None:
    count = 2 * MOST_SENT_BYTES // length
    pieces = [piece for _ in range(count) for piece in (b"x" * length + end, 1.0)]
    file, lines, _ = logged(tmp_path, pieces)
    assert len(file) >= count * length
    assert sum(map(len, lines)) <= MOST_SENT_BYTES + length + LONGEST_LINE + 100
    assert lines[-1].endswith("the rest is in S3 only")


def test_a_program_that_prints_for_ever_does_not_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MOST_BYTES", 1000)
    content, _, last = logged(tmp_path, [*[b"0123456789\n"] * 500, "the end"])
    assert len(content) < 1200
    assert content.count(b"more than 1000 bytes are not kept") == 1
    assert content.endswith(b"[ds] the end\n")
    assert last.endswith("|0123456789")
