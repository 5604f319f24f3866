"""The result of a run: states from records and dead letters, the table, the suggestion."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from ds.control.results import MOST_ROWS, Result, State, Summary, print_table, results, suggestion
from ds.jobs.message import Job


def record(outcome: str, attempt: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "job_id": "one",
        "attempt": attempt,
        "start": f"2026-01-01T00:00:0{attempt}",
        "seconds": 1.5 * attempt,
        "exit_code": 0 if outcome == "done" else None,
        "peak_memory_mb": 100 - attempt,
        "outcome": outcome,
        "reason": "" if outcome == "done" else f"reason {attempt}",
        **more,
    }


DEAD = {"one": {"reason": "exit code 3", "attempts": "3", "job_id": "one"}}

# records, dead letters, finished -> state, attempts, seconds, reason
STATES = [
    ([record("done")], {}, True, ("done", 1, 1.5, "")),
    ([record("failed"), *[record("done", 2)] * 4], {}, True, ("done", 2, 3.0, "")),  # sent again
    ([record("skipped")], {}, True, ("skipped", 1, 1.5, "")),
    ([record("failed"), record("done", 2)], {}, True, ("done", 2, 3.0, "")),
    # A killed attempt leaves no record, but the next attempt has a higher number.
    ([record("done", 3)], {}, True, ("done", 3, 4.5, "")),
    # Delivered twice: a lost attempt that ends later changes nothing.
    ([record("done"), record("lost", 2)], {}, True, ("done", 2, 1.5, "")),
    (
        [record("failed"), record("failed", 2), record("dead", 3)],
        DEAD,
        True,
        ("dead", 3, 4.5, "exit code 3"),
    ),
    # CloudWatch was not available, so its records were lost.
    ([], DEAD, True, ("dead", 3, None, "exit code 3")),
    # Moved by SQS itself, without attributes.
    ([], {"one": {}}, True, ("dead", 1, None, "its worker died in every attempt")),
    # Its message was deleted, and its worker was killed before it wrote a record.
    ([], {}, True, ("done", 1, None, "")),
    ([record("interrupted")], {}, True, ("done", 1, None, "")),
    # The run was interrupted.
    ([], {}, False, ("unfinished", 0, None, "")),
    ([record("interrupted")], {}, False, ("unfinished", 1, 1.5, "reason 1")),
    ([record("done")], {}, False, ("done", 1, 1.5, "")),
]


@pytest.mark.parametrize(("records", "dead", "finished", "expected"), STATES)
def test_the_state_of_a_job_follows_from_its_records_and_dead_letter(
    records: list[dict[str, Any]],
    dead: dict[str, dict[str, str]],
    finished: bool,
    expected: tuple[str, int, float | None, str],
) -> None:
    (result,) = results([(7, "one")], records, dead, finished)
    assert (result.state, result.attempts, result.seconds, result.reason) == expected
    assert (result.group, result.job_id) == (7, "one")


def test_a_dead_job_has_the_exit_code_of_its_last_attempt_and_the_peak_of_all() -> None:
    records = [record("failed", 1), record("failed", 2), record("dead", 3, exit_code=9)]
    (result,) = results([(1, "one")], records, DEAD, True)
    assert (result.exit_code, result.seconds, result.peak_memory_mb) == (9, 4.5, 99)


@pytest.mark.parametrize("finished", [True, False])
def test_of_several_attempts_with_the_same_outcome_the_last_counts(finished: bool) -> None:
    outcome = "done" if finished else "interrupted"
    records = [record(outcome, attempt) for attempt in (1, 2, 3)]
    (result,) = results([(1, "one")], records, {}, finished)
    assert result.seconds == 4.5
    assert result.reason == ("" if finished else "reason 3")


def test_records_of_other_jobs_do_not_count() -> None:
    (result,) = results([(1, "two")], [record("dead")], DEAD, True)
    assert (result.state, result.peak_memory_mb) == ("done", None)


def test_a_peak_that_was_not_measured_is_none() -> None:
    (result,) = results([(1, "one")], [{**record("done"), "peak_memory_mb": 0}], {}, True)
    assert result.peak_memory_mb is None


def result(
    group: int = 1, state: State = "done", seconds: float | None = 2, mb: int | None = 100
) -> Result:
    return Result(group, f"id{group}", state, 1, seconds, 0, mb, "", [])


SUGGESTIONS = [
    ([(2, 100)], 1, 300, 1),
    ([(2, 100), (40, 1000)], 1, 1500, 2),
    ([(2, 1000)], 4, 5400, 1),
    ([(600, 0)], 1, 200, 30),
    ([(36_000, 10)], 1, 200, 660),
]


@pytest.mark.parametrize(("seen", "slots", "memory", "minutes"), SUGGESTIONS)
def test_memory_and_time_out_are_suggested_from_the_worst_job_with_headroom(
    seen: list[tuple[float, int]], slots: int, memory: int, minutes: int
) -> None:
    line = suggestion([result(seconds=seconds, mb=mb) for seconds, mb in seen], slots)
    assert line is not None
    assert line.endswith(f" Suggested: MEMORY = {memory}, JOB_TIMEOUT_MINUTES = {minutes}")


def test_jobs_that_are_not_done_give_no_suggestion() -> None:
    assert (
        suggestion([result(state="dead"), result(state="skipped"), result(seconds=None)], 1) is None
    )


def test_json_has_exactly_the_documented_keys() -> None:
    summary = Summary([result(1), result(2, "skipped"), result(3, "dead")], 12.3456)
    document = json.loads(summary.json())
    assert list(document) == ["jobs", "done", "skipped", "dead", "attempts", "seconds", "results"]
    assert [document[key] for key in list(document)[:6]] == [3, 1, 1, 1, 3, 12.346]
    keys = [
        "group",
        "job_id",
        "state",
        "attempts",
        "seconds",
        "exit_code",
        "peak_memory_mb",
        "reason",
        "outputs",
    ]
    assert list(document["results"][0]) == keys


EXIT_CODES = [(["done"], True, 0), (["skipped"], True, 0), (["done", "dead"], True, 1)]
EXIT_CODES += [(["done", "unfinished"], False, 130), (["dead"], False, 130)]


@pytest.mark.parametrize(("states", "finished", "code"), EXIT_CODES)
def test_the_exit_code_follows_from_the_states(
    states: list[State], finished: bool, code: int
) -> None:
    assert Summary([result(state=state) for state in states], 1, finished).exit_code == code


def table(found: list[Result], jobs: dict[int, Job], width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_table(console, Summary(found, 1), jobs)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_shows_values_as_they_are() -> None:
    group = {"a": "[bold]x[/bold]", "b": ["ü"], "c": True, "d": None, "e": 1.5}
    text = table([result()], {1: Job({}, group)})
    for shown in ("a=[bold]x[/bold]", 'b=["ü"]', "c=true", "d=null", "e=1.5"):
        assert shown in text


def test_a_long_reason_is_never_cut() -> None:
    words = [f"word{n}" for n in range(60)]
    long = Result(1, "id", "dead", 3, 1.0, 1, 5, " ".join(words), [])
    text = table([long], {1: Job({}, {"a": "1"})}, width=80)
    # The header's last word is "reason", under which nothing but it stands.
    column = text.splitlines()[0].index("reason")
    assert " ".join(line[column:].strip() for line in text.splitlines()[1:]).split()[-60:] == words
    assert "…" not in text


def test_of_many_jobs_only_those_that_are_not_done_are_shown() -> None:
    found = [result(n, "dead" if n == 33 else "done") for n in range(1, MOST_ROWS + 51)]
    text = table(found, {n: Job({}, {"well": f"W{n}"}) for n in range(1, MOST_ROWS + 51)})
    assert "well=W33" in text
    assert "well=W32" not in text
    assert "and 99 more jobs" in text


def test_of_many_jobs_that_are_all_done_only_the_count_is_shown() -> None:
    found = [result(n, "done") for n in range(1, MOST_ROWS + 2)]
    text = table(found, {n: Job({}, {"well": "A"}) for n in range(1, MOST_ROWS + 2)})
    assert text == f"{MOST_ROWS + 1} jobs, none of them dead; --json lists all\n"
