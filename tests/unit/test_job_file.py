"""Job files: the three forms of groups, and what is refused before a message is sent."""

import hashlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from ds.control.files.job_file import JobFile, read_job_file
from ds.jobs.definition import JobDefinition, load_job_definition
from ds.jobs.message import MAX_BYTES, Job
from ds.jobs.problems import BadInput

TYPES = {
    "plate": "text",
    "well": "text",
    "image": "file",
    "parts": "files",
    "fast": "flag",
    "more": "args",
}


def definition(
    tmp_path: Path, *, types: dict[str, str] | None = None, prefix: str = "out/{plate}/{well}"
) -> JobDefinition:
    types = {"plate": "text", "well": "text"} if types is None else types
    words = " ".join(f"[{{{name}}}]" for name, type_ in types.items() if type_ != "flag")
    text = f"COMMAND = 'true {words}'\nVARIABLES = {types!r}\nOUTPUT_PREFIX = {prefix!r}\n"
    (tmp_path / "job.py").write_text(text)
    return load_job_definition(tmp_path / "job.py", ["SIGMA"])


def read(
    tmp_path: Path,
    document: object,
    *,
    types: dict[str, str] | None = None,
    prefix: str = "out/{plate}/{well}",
) -> JobFile:
    """Read a job file; `document` is its text, its bytes, or its content."""
    path = tmp_path / "jobs.json"
    if isinstance(document, bytes):
        path.write_bytes(document)
    else:
        text = document if isinstance(document, str) else json.dumps(document)
        path.write_text(text, encoding="utf-8")
    return read_job_file(path, definition(tmp_path, types=types, prefix=prefix), {"SIGMA": 2})


def refusal(tmp_path: Path, document: object, **options: Any) -> list[str]:
    with pytest.raises(BadInput) as refused:
        read(tmp_path, document, **options)
    return str(refused.value).splitlines()


def groups(jobs: JobFile) -> list[dict[str, Any]]:
    found = [dict(job.group) for job in jobs.jobs()]
    assert len(found) == jobs.count
    return found


# Valid files.


def test_a_list_has_one_job_per_group_with_the_shared_variables(tmp_path: Path) -> None:
    jobs = read(tmp_path, {"plate": "P1", "groups": [{"well": "A01"}, {"well": "A02"}]})
    assert jobs.shared == {"plate": "P1"}
    assert groups(jobs) == [{"well": "A01"}, {"well": "A02"}]
    assert next(job.body() for job in jobs.jobs()) == '{"plate":"P1","group":{"well":"A01"}}'


def test_a_job_file_is_identified_by_its_messages_and_their_order(tmp_path: Path) -> None:
    wells = [{"well": "A01"}, {"well": "A02"}]
    digest = read(tmp_path, {"plate": "P1", "groups": wells}).digest
    bodies = ['{"plate":"P1","group":{"well":"A01"}}', '{"plate":"P1","group":{"well":"A02"}}']
    assert digest == hashlib.sha256("".join(f"{body}\n" for body in bodies).encode()).hexdigest()
    same = {"groups": {"matrix": {"well": ["A01", "A02"]}}, "plate": "P1", "_comment": "another"}
    assert read(tmp_path, same).digest == digest
    assert read(tmp_path, {"plate": "P1", "groups": wells[::-1]}).digest != digest
    assert read(tmp_path, {"plate": "P1", "groups": wells[:1]}).digest != digest
    assert read(tmp_path, {"plate": "P2", "groups": wells}).digest != digest


def test_a_matrix_is_every_combination_the_last_variable_changes_fastest(tmp_path: Path) -> None:
    matrix = {"plate": ["P1", "P2"], "well": ["A01", "A02", "A03"]}
    jobs = read(tmp_path, {"groups": {"matrix": matrix}})
    assert [tuple(group.values()) for group in groups(jobs)] == [
        ("P1", "A01"),
        ("P1", "A02"),
        ("P1", "A03"),
        ("P2", "A01"),
        ("P2", "A02"),
        ("P2", "A03"),
    ]


def test_a_csv_file_beside_the_job_file_has_one_group_per_row(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "jobs.csv").write_bytes(
        b'\xef\xbb\xbfplate, well ,parts,fast,_comment\r\nP1,"A 1, left",a.tif,TRUE,x\r\n'
        b"\r\nP2,A02,,,y\r\n"
    )
    jobs = read(
        tmp_path,
        {"groups": {"csv": "tables/jobs.csv"}},
        types={"plate": "text", "well": "text", "parts": "files", "fast": "flag"},
    )
    assert groups(jobs) == [
        {"plate": "P1", "well": "A 1, left", "parts": ["a.tif"], "fast": True},
        {"plate": "P2", "well": "A02", "parts": "", "fast": ""},
    ]


def test_cells_of_every_type_are_trimmed(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text(
        "plate , well,image, parts, fast, more\n"
        ' P1\t, "A 1, left ", a.tif , "b , c", true , -a  b \n'
    )
    (group,) = groups(read(tmp_path, {"groups": {"csv": "jobs.csv"}}, types=TYPES))
    assert group == {
        "plate": "P1",
        "well": "A 1, left",
        "image": "a.tif",
        "parts": ["b", "c"],
        "fast": True,
        "more": "-a  b",
    }


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    group = {
        "plate": 1.5,
        "well": "ö;$(x)",
        "image": "s3://other/a.tif",
        "parts": ["a", "b"],
        "fast": False,
        "more": "-a 'b c'",
    }
    assert groups(read(tmp_path, {"groups": [group]}, types=TYPES)) == [group]


def test_comments_are_ignored_even_twice_and_at_every_level(tmp_path: Path) -> None:
    text = """{"_comment": 1, "_comment": {"x": [1]}, "my_comment_2": 3,
    "groups": [{"plate": "P", "well": "A", "_comment": 1, "_comment": 2}]}"""
    assert groups(read(tmp_path, text)) == [{"plate": "P", "well": "A"}]


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    text = json.dumps({"groups": [{"plate": "P", "well": "A"}]})
    assert read(tmp_path, text.encode("utf-8-sig")).count == 1


# Refused files: a problem names file, group and key.

LIST = '{"groups": [{"plate": "P1", "well": "A01"}, %s]}'

REFUSED = [
    ('{"plate": "P", "well": "A"}', "jobs.json: has no groups; add groups"),
    ('{"group": [{}]}', "jobs.json: has no groups; did you mean groups instead of group?"),
    ('{"groups": []}', "jobs.json: has no groups; write at least one"),
    ('{"groups": "x"}', "jobs.json, groups: is not one of the three forms"),
    ('{"groups": {"matrix": {}, "csv": "x"}}', "jobs.json, groups: is not one of the three forms"),
    ('{"groups": {"csv": "a", "csv": "b"}}', "jobs.json, groups: is not one of the three forms"),
    ('{"groups": {"matrix": {}}}', "groups, matrix: is not a JSON object with variables"),
    ('{"groups": {"matrix": {"plate": []}}}', "groups, matrix, plate: is not a list with values"),
    ('{"groups": {"matrix": {"plate": "P"}}}', "groups, matrix, plate: is not a list with values"),
    (
        '{"groups": {"matrix": {"well": ["A"], "well": ["B"]}}}',
        "jobs.json, groups, matrix, well: is defined twice",
    ),
    ('{"groups": {"csv": 3}}', "groups, csv: is not the name of a file"),
    ('{"groups": {"csv": "none.csv"}}', "none.csv: does not exist; create it"),
    (LIST % "3", "jobs.json, group 2: is not a JSON object"),
    (LIST % "{}", "jobs.json, group 2: is empty"),
    (
        LIST % '{"plate": "P2", "wel": "A01"}',
        "jobs.json, group 2, wel: unknown variable; did you mean well?",
    ),
    (LIST % '{"plate": "P2"}', "jobs.json, group 2, well: has no value"),
    (LIST % '{"plate": "P2", "well": {"a": 1}}', "jobs.json, group 2, well: "),
    (LIST % '{"plate": "P2", "well": ["a"]}', "jobs.json, group 2, well: "),
    (LIST % '{"plate": "P2", "well": NaN}', "jobs.json, group 2, well: "),
    (LIST % '{"plate": "P2", "well": 1e999}', "jobs.json, group 2, well: "),
    (LIST % '{"plate": "P2", "well": "a\\u0000"}', "jobs.json, group 2, well: "),
    (
        LIST % '{"plate": "P2", "well": "A", "SIGMA": 3}',
        "jobs.json, group 2, SIGMA: is defined twice, in the group and config.py",
    ),
    (LIST % '{"plate": "P2", "well": "A", "well": "B"}', "group 2, well: is defined twice"),
    (
        LIST % '{"plate": "P2", "well": "A", "PATH": "x"}',
        "jobs.json, group 2, PATH: unknown variable",
    ),
    ('{"well": 1, "well": 2, "groups": [{"plate": "P"}]}', "jobs.json, well: is defined twice"),
    ('{"groups": [{"plate": "P"}], "groups": []}', "jobs.json, groups: is defined twice"),
    (LIST % '{"plate": "P1", "well": "A01"}', "group 2: has the output prefix 'out/P1/A01' of"),
    (LIST % '{"plate": "..", "well": "A01"}', "jobs.json, group 2"),
    (LIST % '{"plate": "P1", "well": ""}', "jobs.json, group 2"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_a_wrong_job_file_is_refused_with_file_group_and_key(
    tmp_path: Path, text: str, message: str
) -> None:
    lines = refusal(tmp_path, text)
    assert message in "\n".join(lines)
    assert all("jobs.json" in line for line in lines)
    assert len(lines) <= 2


WRONG_TYPES = [
    ("image", ["a"]),
    ("image", True),
    ("image", "../a"),
    ("image", "/a"),
    ("image", "s3://"),
    ("parts", "a,b"),
    ("parts", [1]),
    ("parts", ["../a"]),
    ("fast", "yes"),
    ("fast", 1),
    ("more", "'open"),
]


@pytest.mark.parametrize(("name", "value"), WRONG_TYPES)
def test_a_value_of_the_wrong_type_is_refused(tmp_path: Path, name: str, value: object) -> None:
    group = {"plate": "P", "well": "A", "image": "a", "parts": [], "fast": True, "more": ""}
    (line,) = refusal(tmp_path, {"groups": [group | {name: value}]}, types=TYPES)
    assert line.startswith(f"jobs.json, group 1, {name}: ")


def test_an_invalid_shared_variable_is_one_problem_not_one_per_group(tmp_path: Path) -> None:
    document = {"plate": {"a": 1}, "plates": 3, "groups": [{"well": str(n)} for n in range(50)]}
    lines = refusal(tmp_path, document)
    assert [line.split(":")[0] for line in lines] == ["jobs.json, plates", "jobs.json, plate"]


def test_a_variable_at_two_levels_is_refused(tmp_path: Path) -> None:
    document = {"plate": "P", "groups": [{"plate": "P", "well": "A"}]}
    (line,) = refusal(tmp_path, document)
    assert line.startswith(
        "jobs.json, group 1, plate: is defined twice, in the shared variables and the group"
    )


def test_a_problem_of_many_groups_is_reported_once_and_hides_no_other(tmp_path: Path) -> None:
    slips = [{"plate": "P", "wel": str(n)} for n in range(1100)]
    assert refusal(tmp_path, {"groups": [*slips, {"plate": ["P"], "wel": "A"}]}) == [
        "jobs.json, group 1, wel: unknown variable; did you mean well? (and in 1,100 more groups)",
        "jobs.json, group 1101, plate: must be text, a number, true or false;"
        " its type in job.py is text",
    ]
    (line,) = refusal(tmp_path, {"groups": slips[:2]})
    assert line.endswith("did you mean well? (and in 1 more group)")
    (line,) = refusal(tmp_path, {"groups": slips[:1]})
    assert line.endswith("did you mean well?")


def test_a_missing_value_is_reported_unless_a_typo_explains_it(tmp_path: Path) -> None:
    wrong = [{"plate": "P", "wel": "A"}, {"plate": "P"}, {"wel": "A"}, {"plate": "P"}]
    assert [line.split(";")[0] for line in refusal(tmp_path, {"groups": wrong})] == [
        "jobs.json, group 1, wel: unknown variable",
        "jobs.json, group 2, well: has no value",
        "jobs.json, group 3, plate: has no value",
    ]
    (line,) = refusal(tmp_path, {"wel": "A", "groups": [{"plate": str(n)} for n in range(9)]})
    assert line == "jobs.json, wel: unknown variable; did you mean well?"


def test_the_same_mistake_beside_groups_and_in_one_is_reported_twice(tmp_path: Path) -> None:
    document = {"plate": {"a": 1}, "groups": [{"plate": {"a": 1}, "well": "A"}, {"well": "B"}]}
    lines = refusal(tmp_path, document)
    assert [line.split(":")[0] for line in lines if "must be text" in line] == [
        "jobs.json, group 1, plate",
        "jobs.json, plate",
    ]


def test_kinds_of_problems_are_counted_and_the_first_ones_printed(tmp_path: Path) -> None:
    document = {"groups": [{"plate": "P", "well": "A", f"x{n % 500}": 1} for n in range(1000)]}
    lines = refusal(tmp_path, document)
    assert len(lines) == 21
    assert lines[0].startswith("jobs.json, group 1, x0: ")
    assert lines[19].startswith("jobs.json, group 20, x19: ")
    assert all(line.endswith(" (and in 1 more group)") for line in lines[:20])
    assert lines[20].startswith("jobs.json: has 960 more problems;")


def test_problems_need_no_more_memory_when_there_are_more(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        with (tmp_path / "jobs.csv").open("w") as file:
            file.write("plate,well,fast\n")
            file.writelines(f"P,{n},yes\nP,{n}{',' * n}\n" for n in range(rows))
        types = {"plate": "text", "well": "text", "fast": "flag"}
        tracemalloc.start()
        try:
            lines = refusal(tmp_path, {"groups": {"csv": "jobs.csv"}}, types=types)
            assert len(lines) == 21
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(30)
    short, long = peak(200), peak(600)
    assert long < short * 1.5


def test_a_null_outside_a_bracket_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "COMMAND = 'true {a}'\nVARIABLES = {'a': 'text'}\nOUTPUT_PREFIX = '{job_id}'\n"
    )
    path = tmp_path / "jobs.json"
    path.write_text('{"groups": [{"a": 1}, {"a": null}]}')
    with pytest.raises(BadInput, match=r"jobs\.json, group 2"):
        read_job_file(path, load_job_definition(tmp_path / "job.py"), {})


def test_a_message_that_is_too_large_is_refused(tmp_path: Path) -> None:
    types = {"plate": "text", "parts": "files"}
    parts = ["k" * 1000] * 1020
    document = {"groups": [{"plate": "P", "parts": [*parts, "k"]}]}
    room = MAX_BYTES - len(Job({}, document["groups"][0]).body())
    parts += ["k" * 1000] * (room // 1003)
    document["groups"][0]["parts"] = [*parts, "k" * (1 + room % 1003)]
    assert len(Job({}, document["groups"][0]).body()) == MAX_BYTES
    assert read(tmp_path, document, types=types, prefix="{plate}").count == 1
    document["groups"][0]["parts"][-1] += "k"
    (line,) = refusal(tmp_path, document, types=types, prefix="{plate}")
    assert line.startswith("jobs.json, group 1: is a message of 1,032,193 bytes")


def test_a_matrix_with_too_many_jobs_is_refused_at_once(tmp_path: Path) -> None:
    matrix = {"plate": list(range(10_000)), "well": list(range(10_000))}
    (line,) = refusal(tmp_path, {"groups": {"matrix": matrix}})
    assert line.startswith("jobs.json, groups, matrix: has 100,000,000 jobs")


# Output prefixes.

PREFIXES = [
    (["a", "b", "a"], ["group 3: has the output prefix 'a' of group 1"]),
    (
        ["a", "b", "a/x"],
        ["group 1: has the output prefix 'a', which contains those of other groups"],
    ),
    (
        ["a/x/y", "b", "a"],
        ["group 3: has the output prefix 'a', which contains those of other groups"],
    ),
    (["a/x", "a/y", "ab", "a.x", "a b"], []),
    (["a", "A"], []),
]


@pytest.mark.parametrize(("prefixes", "problems"), PREFIXES)
def test_two_jobs_never_have_one_output_prefix(
    tmp_path: Path, prefixes: list[str], problems: list[str]
) -> None:
    document = {"groups": [{"plate": prefix, "well": n} for n, prefix in enumerate(prefixes)]}
    if not problems:
        assert read(tmp_path, document, prefix="{plate}").count == len(prefixes)
        return
    lines = refusal(tmp_path, document, prefix="{plate}")
    assert len(lines) == len(problems)
    for line, problem in zip(lines, problems, strict=True):
        assert line.startswith(f"jobs.json, {problem}; ")


def test_equal_jobs_are_refused_even_with_the_job_id_as_prefix(tmp_path: Path) -> None:
    document = {"groups": [{"plate": "P", "well": "A"}] * 2}
    assert len(refusal(tmp_path, document, prefix="{job_id}")) == 1


def test_many_collisions_are_reported_once_per_prefix(tmp_path: Path) -> None:
    document = {"groups": [{"plate": "P", "well": n} for n in range(3)] * 30}
    lines = refusal(tmp_path, document)
    assert len(lines) == 3


def test_of_very_many_collisions_the_first_ones_are_printed_and_all_counted(
    tmp_path: Path,
) -> None:
    document = {"groups": [{"plate": f"P{n % 900}", "well": n} for n in range(1500)]}
    lines = refusal(tmp_path, document, prefix="{plate}")
    assert len(lines) == 21
    assert lines[20].startswith("jobs.json: has 580 more problems;")
    plates = [{"plate": f"P{n}", "well": ""} for n in range(50)]
    document = {"groups": [*plates, *({**group, "well": "/x"} for group in plates)]}
    lines = refusal(tmp_path, document, prefix="{plate}{well}")
    assert "which contains those of other groups" in lines[0]
    assert lines[20].startswith("jobs.json: has 30 more problems;")


# Files that cannot be read.

UNREADABLE = [
    (b'{"groups": [}', "line 1, column 13: is not valid JSON: Expecting value"),
    (
        b'{\n  "groups": []\n  "a": 1}',
        "line 3, column 3: is not valid JSON: Expecting ',' delimiter",
    ),
    (b"", "line 1, column 1: is not valid JSON"),
    (b"[1]", "is not a JSON object"),
    (b'{"a": "\xff"}', "cannot be read: byte 7 is not UTF-8; save it as UTF-8"),
    ("{}".encode("utf-16"), "cannot be read: byte 0 is not UTF-8; save it as UTF-8"),
    (b"[" * 100_000, "is nested too deeply"),
    (b'{"a": ' + b"1" * 5000 + b"}", "cannot be read"),
]


@pytest.mark.parametrize(("data", "message"), UNREADABLE)
def test_an_unreadable_file_gets_one_clear_line(tmp_path: Path, data: bytes, message: str) -> None:
    (line,) = refusal(tmp_path, data)
    assert message in line
    assert "jobs.json" in line


@pytest.mark.parametrize("name", ["j.csv", "Ö 1.CSV"])
def test_a_csv_file_is_not_a_job_file_but_a_job_file_can_name_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("plate,well\nP,A\n")
    with pytest.raises(BadInput) as refused:
        read_job_file(tmp_path / name, definition(tmp_path), {})
    form = f'{{"groups": {{"csv": "{name}"}}}}'
    hint = f"write {form} to a .json file in the same folder, and use that file"
    assert str(refused.value) == f"{tmp_path}/{name}: is a CSV file; {hint}"
    assert groups(read(tmp_path, form)) == [{"plate": "P", "well": "A"}]
    with pytest.raises(BadInput, match=r"none\.csv: does not exist"):
        read_job_file(tmp_path / "none.csv", definition(tmp_path), {})


def test_a_missing_file_and_a_folder_are_reported(tmp_path: Path) -> None:
    made = definition(tmp_path)
    with pytest.raises(BadInput, match=r"none\.json: does not exist; use a job file such as"):
        read_job_file(tmp_path / "none.json", made, {})
    with pytest.raises(BadInput, match="cannot be read: Is a directory"):
        read_job_file(tmp_path, made, {})


# CSV.

CSV = [
    ("", "jobs.csv, header: is empty"),
    ("plate,well\n", "jobs.json: has no groups"),
    ("plate,wel\nP,A\n", "jobs.csv, header, wel: unknown variable; did you mean well?"),
    ("plate,well,well\nP,A,B\n", "jobs.csv, header, well: is defined twice"),
    (",plate,well\n0,P,A\n", "jobs.csv, header, column 1: has no name"),
    ("plate,well\nP,A\nP,B,C\n", "group 2, jobs.csv line 3: has 3 cells, but the header has 2"),
    ("plate,well\nP,A\n\nP\n", "group 2, jobs.csv line 4: has 1 cells, but the header has 2"),
    ("plate\nP\n", "group 1, jobs.csv line 2, well: has no value"),
    ("plate;well\nP;A\n", "jobs.csv, header: has no comma; save the file with commas"),
    ("plate\twell\nP\tA\n", "jobs.csv, header: has no comma; save the file with commas"),
    ('plate,well\nP,"A"x\n', "jobs.csv after line"),
    ('plate,well\nP,"A\n', "jobs.csv after line"),
    ("plate,well\nP,A\nP,A\n", "group 2: has the output prefix 'out/P/A' of group 1"),
]


@pytest.mark.parametrize(("text", "message"), CSV)
def test_a_wrong_csv_file_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "jobs.csv").write_text(text)
    lines = refusal(tmp_path, {"groups": {"csv": "jobs.csv"}})
    assert message in lines[0]
    assert all(line.startswith("jobs.json") for line in lines)


def test_wrong_cells_of_all_rows_are_reported(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("plate,well,fast\nP,A,no\nP,B,true\nP,C,1\nP,D\n")
    types = {"plate": "text", "well": "text", "fast": "flag"}
    lines = refusal(tmp_path, {"groups": {"csv": "jobs.csv"}}, types=types)
    assert [line.split(":")[0] for line in lines] == [
        "jobs.json, group 1, jobs.csv line 2, fast",
        "jobs.json, group 4, jobs.csv line 5",
    ]
    assert lines[0].endswith(" (and in 1 more group)")


def test_a_repeated_name_in_the_header_is_not_counted_per_group(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("plate,well,wel,well,well,wel\n")
    lines = refusal(tmp_path, {"groups": {"csv": "jobs.csv"}})
    assert not any("more" in line for line in lines)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("before", [0, 3, 5000])
def test_a_csv_file_in_another_encoding_is_reported_with_its_line(
    tmp_path: Path, before: int, end: str
) -> None:
    rows = ["plate,well", *(f"P,{n}é" for n in range(before))]
    text = "".join(row + end for row in rows).encode() + f"P,ö{end}P,ü{end}".encode("latin-1")
    (tmp_path / "jobs.csv").write_bytes(text)
    (line,) = refusal(tmp_path, {"groups": {"csv": "jobs.csv"}})
    assert line.startswith(f"jobs.json, jobs.csv line {before + 2}: is not UTF-8; save it as CSV")


def test_a_csv_file_needs_no_more_memory_when_it_is_longer(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        with (tmp_path / "jobs.csv").open("w") as file:
            file.write("plate,well\n")
            file.writelines(f"P{n % 100},{n}\n" for n in range(rows))
        tracemalloc.start()
        try:
            jobs = read(tmp_path, {"groups": {"csv": "jobs.csv"}})
            assert sum(1 for _ in jobs.jobs()) == rows
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    short, long = peak(1_100), peak(3_300)
    assert long < short * 1.5
