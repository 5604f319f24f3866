"""The log of one attempt: the file has every byte, CloudWatch every line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ds.worker import logs
from ds.worker.logs import LONGEST_LINE, MOST_LINES, AttemptLog

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


def logged(folder: Path, pieces: Sequence[bytes | str]) -> tuple[bytes, list[str], str]:
    """Log what a program printed (bytes) and the worker reported (texts)."""
    lines = Lines()
    log = AttemptLog(folder / "attempt.log", "id", lines)  # type: ignore[arg-type]
    for piece in pieces:
        if isinstance(piece, bytes):
            log.program(piece)
        else:
            log.report(piece)
    log.close()
    return log.path.read_bytes(), lines.lines, log.last_line


@pytest.mark.parametrize(
    ("pieces", "file", "lines", "last"),
    [
        ([], b"", [], ""),
        ([b"a\nb\n"], b"a\nb\n", ["a", "b"], "b"),
        ([b"a", b"b\nc", b"\n"], b"ab\nc\n", ["ab", "c"], "c"),
        ([b"no newline"], b"no newline\n", ["no newline"], "no newline"),
        ([b"a\n\n  \n"], b"a\n\n  \n", ["a", "", "  "], "a"),
        ([b"a\r\nb\r\n"], b"a\r\nb\r\n", ["a", "b"], "b"),
        ([b"\xff\xfe\n"], b"\xff\xfe\n", ["\ufffd\ufffd"], "\ufffd\ufffd"),
        ([b"\xc3", b"\xa9\n"], b"\xc3\xa9\n", ["é"], "é"),
        ([b"10%\r50%\r100%\n"], b"10%\r50%\r100%\n", ["10%\r50%\r100%"], "100%"),
        ([b"10%\r50%\r"], b"10%\r50%\r\n", ["10%\r50%"], "50%"),
        ([b"\x1b[31mbad\x1b[0m\n"], b"\x1b[31mbad\x1b[0m\n", ["\x1b[31mbad\x1b[0m"], "bad"),
        ([b"a\0b\tc\n"], b"a\0b\tc\n", ["a\0b\tc"], "a b c"),
        (["runs x"], b"[ds] runs x\n", ["[ds] runs x"], ""),
        (
            ["begins", b"a\nhalf", "exit code 3"],
            b"[ds] begins\na\nhalf\n[ds] exit code 3\n",
            ["[ds] begins", "a", "half", "[ds] exit code 3"],
            "half",
        ),
        (["\ud800"], b"[ds] ?\n", ["[ds] \ud800"], ""),
    ],
    ids=lambda value: str(value)[:30],
)
def test_all_output_and_reports_are_kept(
    tmp_path: Path, pieces: Sequence[bytes | str], file: bytes, lines: list[str], last: str
) -> None:
    assert logged(tmp_path, pieces) == (file, lines, last)


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
    assert last in character * length


def test_a_program_that_never_ends_its_line_takes_no_memory(tmp_path: Path) -> None:
    lines = Lines()
    log = AttemptLog(tmp_path / "attempt.log", "id", lines)  # type: ignore[arg-type]
    for _ in range(200):
        log.program(b"x" * (1 << 16))
        assert len(log._rest) <= LONGEST_LINE
    log.close()
    assert sum(map(len, lines.lines)) == 200 << 16


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
    assert last == f"line {3 * MOST_LINES - 1}"
    assert lines[1 : MOST_LINES + 1] == [f"line {i}" for i in range(MOST_LINES)]
    assert lines[MOST_LINES + 1 :] == [
        f"[ds] printed {MOST_LINES} lines: the rest is in S3 only",
        "[ds] exit code 3",
    ]


def test_a_program_that_prints_for_ever_does_not_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MOST_BYTES", 1000)
    content, _, last = logged(tmp_path, [*[b"0123456789\n"] * 500, "the end"])
    assert len(content) < 1200
    assert content.count(b"more than 1000 bytes are not kept") == 1
    assert content.endswith(b"[ds] the end\n")
    assert last == "0123456789"
