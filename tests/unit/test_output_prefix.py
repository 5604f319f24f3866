"""OUTPUT_PREFIX: a safe, separate place for the outputs of each job."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds.jobs.output_prefix import check_prefix, prefix_names, render_prefix
from ds.jobs.problems import BadInput
from ds.jobs.variables import Value

TYPES = {"plate": "text", "well": "text", "reads": "files", "image": "file", "extra": "args"}
VALUES: dict[str, Value] = {
    "plate": "P 1",
    "well": "A01",
    "number": 3,
    "flag": True,
    "image": "raw/a.tif",
    "outer": "x/y",
    "slash": "x/",
    "empty": "",
    "none": None,
    "many": ["a"],
    "dots": "..",
    "bucket": "s3://b/k",
    "root": "/etc",
    "line": "a\nb",
    "half": "\ud800",
    "full": "é" * 400,
    "long": "é" * 400 + "a",
}


@pytest.mark.parametrize(
    ("template", "prefix"),
    [
        ("results", "results"),
        ("{plate}/{well}", "P 1/A01"),
        ("out/{plate}-{well}/", "out/P 1-A01"),
        ("{number}_{flag}", "3_true"),
        ("{outer}/{job_id}", "x/y/0123"),
        ("{image}", "raw/a.tif"),
        ("{full}/", "é" * 400),
        ("a/{plate}{empty}", "a/P 1"),
        ("naïve 🧪/a..b/.hidden/{well}", "naïve 🧪/a..b/.hidden/A01"),
    ],
)
def test_a_prefix_is_its_template_with_the_values_of_the_job_file(
    template: str, prefix: str
) -> None:
    assert render_prefix(template, VALUES, "0123") == prefix


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{none}/a", "none: must have a single value"),
        ("{unknown}/a", "unknown: must have a single value"),
        ("{many}", "many: must have a single value"),
        ("{empty}", "is empty"),
        ("{empty}/", "is empty"),
        ("", "is empty"),
        ("a/{empty}/b", "empty part"),
        ("{slash}/b", "empty part"),
        ("a//b", "empty part"),
        ("{root}", "begins with /"),
        ("{dots}/a", ". or .."),
        ("a/{dots}", ". or .."),
        ("a/.{empty}/b", ". or .."),
        ("{bucket}", "contains a bucket"),
        ("a/{bucket}", "a/s3://b/k contains the address of another bucket"),
        ("{line}", "control character"),
        ("{half}", "control character"),
        ("{long}", "longer than 800 bytes"),
    ],
)
def test_a_prefix_outside_the_bucket_or_without_a_place_is_refused(
    template: str, told: str
) -> None:
    with pytest.raises(BadInput) as refused:
        render_prefix(template, VALUES, "0123")
    assert told in str(refused.value)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b"]), st.text() | st.integers() | st.none()))
def test_whatever_the_values_a_prefix_stays_inside_the_bucket(values: dict[str, Value]) -> None:
    try:
        prefix = render_prefix("x/{a}/{b}", values, "0123")
    except BadInput:
        return
    parts = prefix.split("/")
    assert parts[0] == "x"
    assert not {"", ".", ".."} & set(parts)
    assert len(prefix.encode()) <= 800


@pytest.mark.parametrize(
    "template", ["{plate}", "a/{plate}/{well}/", "{job_id}", "{image}", "{extra}", "a..b/{plate}"]
)
def test_these_templates_are_accepted(template: str) -> None:
    assert check_prefix(template, TYPES) == []


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("", "is empty"),
        ("/", "is empty"),
        ("/a/{plate}", "begins with /"),
        ("s3://bucket/{plate}", "contains a bucket"),
        ("out/s3://bucket/{plate}", "contains the address of another bucket"),
        ("a//{plate}", "empty part"),
        ("../{plate}", ". or .."),
        ("{plate}\n", "control character"),
        ("{Plate}", "did you mean {plate}?"),
        ("{job-id}", "did you mean {job_id}?"),
        ("{other}", "unknown variable {other}"),
        ("{output_dir}", "unknown variable {output_dir}"),
        ("{reads}", "of type files"),
        ("{plate", "{ is not part of a {name}"),
        ("{plate}}", "} is not part of a {name}"),
        ("{ plate }", "{ is not part of a {name}"),
        ("a/$plate", None),
    ],
)
def test_a_template_that_no_job_could_use_is_refused(template: str, told: str | None) -> None:
    problems = [str(problem) for problem in check_prefix(template, TYPES) if not problem.warning]
    assert any(told in problem for problem in problems) if told else problems == []


def test_a_template_that_is_the_same_for_every_job_is_a_warning() -> None:
    (problem,) = check_prefix("results", TYPES)
    assert problem.warning
    assert "every job writes to the same place" in problem.message


def test_the_names_of_a_template() -> None:
    assert prefix_names("{a}/{b-c}/{a}/{job_id}/{1}") == {"a", "b-c", "job_id"}
