"""The message of a job: bodies, job IDs, and problems of a job's variables."""

from __future__ import annotations

import json

import pytest

from ds.jobs.message import InvalidMessage, Job, check_job, decode
from ds.jobs.variables import Value

JOBS = [
    Job({}, {}),
    Job({"favorite_color": "Blue"}, {"ice_cream": "cookie dough", "pizza": "mushroom"}),
    Job({"n": 0, "x": 1.5, "yes": True, "no": False, "none": None}, {"keys": ["a", "b"]}),
    Job({"group_name": "not the group"}, {"text": "quotes ' \" \\ {brace} $(x)\n\t"}),
    Job({}, {"text": "héllo 字 😀 \u2028 \uffff \x01"}),
]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.body()[:30])
def test_a_body_holds_the_whole_job_in_ascii(job: Job) -> None:
    assert decode(job.body()) == job
    assert decode(job.body()).job_id == job.job_id
    assert job.body().isascii()
    assert "\n" not in job.body()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ('{"group": {}} x', "not valid JSON"),
        ('{"group": {"x": NaN}}', "NaN is not a JSON number"),
        ('{"group": {"x": -Infinity}}', "-Infinity is not a JSON number"),
        ("[" * 100_000, "not valid JSON"),
        ('{"group": {"x": ' + "9" * 5000 + "}}", "not valid JSON"),
        ("null", "not a JSON object"),
        ("[]", "not a JSON object"),
        ('"group"', "not a JSON object"),
        ("{}", 'does not have a "group" object'),
        ('{"group": null}', 'does not have a "group" object'),
        ('{"group": []}', 'does not have a "group" object'),
        ('{"group": "Plate1"}', 'does not have a "group" object'),
        ('{"groups": [{"a": 1}]}', 'does not have a "group" object'),
    ],
    ids=lambda text: text[:20],
)
def test_a_message_that_is_not_a_job_has_a_reason(body: str, reason: str) -> None:
    with pytest.raises(InvalidMessage, match=reason):
        decode(body)


def test_a_job_id_comes_from_the_message_alone_and_never_changes() -> None:
    # A constant: outputs and logs of earlier runs are found by it.
    assert Job({"b": 1}, {"a": "x", "c": None}).job_id == "db0db7e6667db5ee"
    assert decode('{ "group": {"c": null, "a": "x"}, "b": 1 }').job_id == "db0db7e6667db5ee"


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (Job({"a": "1", "b": "2"}, {}), Job({"b": "2", "a": "1"}, {}), True),
        (Job({}, {"a": "1", "b": "2"}), Job({}, {"b": "2", "a": "1"}), True),
        (Job({"a": "1"}, {}), Job({}, {"a": "1"}), False),
        (Job({}, {"a": "1"}), Job({}, {"a": 1}), False),
        (Job({}, {"a": 1}), Job({}, {"a": True}), False),
        (Job({}, {"a": ""}), Job({}, {"a": None}), False),
        (Job({}, {"a": ["b", "c"]}), Job({}, {"a": ["c", "b"]}), False),
    ],
)
def test_only_equal_jobs_have_the_same_job_id(one: Job, other: Job, equal: bool) -> None:
    assert (one.job_id == other.job_id) is equal


TYPES = {
    "plate": "text",
    "pipeline": "file",
    "images": "files",
    "folder": "folder",
    "more": "args",
    "fast": "flag",
    "JAVA_MEMORY": "text",
}
CONFIG: dict[str, Value] = {"JAVA_MEMORY": "1g"}
GOOD: dict[str, Value] = {
    "plate": "P1",
    "pipeline": "a.cppipe",
    "images": ["1.tif", "s3://other/2.tif"],
    "folder": "in/*.tif",
    "more": "-a 'b c'",
    "fast": True,
}


def test_a_valid_job_has_no_problem_at_whatever_level_its_variables_are() -> None:
    assert list(check_job(Job({}, GOOD), TYPES, CONFIG)) == []
    assert list(check_job(Job(GOOD, {}), TYPES, CONFIG)) == []
    without = Job({}, dict.fromkeys(GOOD))  # null is valid for every type
    assert list(check_job(without, TYPES, CONFIG)) == []


@pytest.mark.parametrize(
    ("shared", "change", "where", "message", "hint"),
    [
        ({}, {"plaet": "P1"}, "plaet", "unknown variable", "did you mean plate?"),
        ({}, {"Plate": "P1"}, "Plate", "unknown variable", "did you mean plate?"),
        ({}, {"zzz": "P1"}, "zzz", "unknown variable", "add it to VARIABLES"),
        ({"plate": "P1"}, {}, "plate", "the shared variables and the group", "keep one"),
        (
            {"JAVA_MEMORY": "2g"},
            {},
            "JAVA_MEMORY",
            "the shared variables and config.py",
            "keep one",
        ),
        ({}, {"JAVA_MEMORY": "2g"}, "JAVA_MEMORY", "the group and config.py", "keep one"),
        ({}, {"plate": ["P1"]}, "plate", "must be text, a number", "type in job.py is text"),
        ({}, {"plate": {"a": 1}}, "plate", "must be text, a number", "type in job.py is text"),
        ({}, {"plate": "a\0b"}, "plate", "NUL", "type in job.py is text"),
        ({}, {"plate": "\ud800"}, "plate", "lone surrogate", "type in job.py is text"),
        ({}, {"plate": float("inf")}, "plate", "must be a finite number", "is text"),
        ({}, {"pipeline": 5}, "pipeline", "must be text", "type in job.py is file"),
        ({}, {"pipeline": "/etc/passwd"}, "pipeline", "must not begin with /", "is file"),
        ({}, {"pipeline": "../x"}, "pipeline", "must not contain . or ..", "is file"),
        ({}, {"images": "1.tif"}, "images", "must be a list of keys", "type in job.py is files"),
        ({}, {"images": ["a", 2]}, "images", "must be text", "type in job.py is files"),
        ({}, {"folder": "s3://"}, "folder", "must be a key in the bucket", "is folder"),
        ({}, {"more": "'open"}, "more", "left open", "type in job.py is args"),
        ({}, {"fast": "true"}, "fast", "must be true or false", "type in job.py is flag"),
    ],
)
def test_each_mistake_is_reported_with_its_variable_and_a_hint(
    shared: dict[str, Value], change: dict[str, Value], where: str, message: str, hint: str
) -> None:
    (problem,) = check_job(Job(shared, {**GOOD, **change}), TYPES, CONFIG)
    assert problem.where == where
    assert message in problem.message
    assert hint in problem.hint
    assert not problem.warning


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_variable_without_a_value_is_reported(name: str) -> None:
    rest = {other: value for other, value in GOOD.items() if other != name}
    (problem,) = check_job(Job({}, rest), TYPES, CONFIG)
    assert (problem.where, problem.message) == (name, "has no value")


def test_all_mistakes_are_reported_at_once() -> None:
    job = decode(json.dumps({"plate": 1, "group": {**GOOD, "plate": 2, "x": 1, "fast": 1}}))
    assert sorted(problem.where for problem in check_job(job, TYPES, {})) == [
        "JAVA_MEMORY",
        "fast",
        "plate",
        "x",
    ]
