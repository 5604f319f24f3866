"""The rule for complete outputs."""

from __future__ import annotations

import pytest

from ds.jobs.outputs import OutputFile, OutputRule

A, B, EMPTY = OutputFile("a.csv", 10), OutputFile("sub/b.txt", 10), OutputFile("c.csv", 0)


@pytest.mark.parametrize(
    ("rule", "files", "complete", "done"),
    [
        (OutputRule(), [], False, False),
        (OutputRule(), [A], True, True),
        (OutputRule(), [EMPTY], False, False),
        (OutputRule(min_file_size_bytes=0), [EMPTY], True, True),
        (OutputRule(2), [A], False, False),
        (OutputRule(2), [A, EMPTY], False, False),
        (OutputRule(2), [A, B], True, True),
        (OutputRule(2), [A, B, OutputFile("d", 10)], True, True),
        (OutputRule(1, 10), [A], True, True),
        (OutputRule(1, 11), [A], False, False),
        (OutputRule(1, 1, "csv"), [A], True, True),
        (OutputRule(1, 1, "csv"), [B, EMPTY], False, False),
        (OutputRule(1, 1, "sub/"), [B], True, True),
        (OutputRule(2, 1, "csv"), [A, B], False, False),
        (OutputRule(0), [], True, False),
        (OutputRule(0), [A], True, False),
    ],
)
def test_number_size_and_name_decide(
    rule: OutputRule, files: list[OutputFile], complete: bool, done: bool
) -> None:
    assert (rule.missing(files) is None) is complete
    assert (rule.missing(iter(files)) is None) is complete
    # A job that does not write files is never known to be done.
    assert rule.already_done(files) is done


def test_missing_outputs_are_reported_with_numbers() -> None:
    assert OutputRule(3, 5, "csv").missing([A, B, EMPTY]) == (
        "output files are missing: expected 3 of at least 5 bytes and 'csv' in the name, "
        "found 1 (of 3 written)"
    )
