"""Problems are told in one form: where, what, what to do."""

import ast
import pickle
from collections import Counter
from pathlib import Path

import pytest

from ds.jobs import problems
from ds.jobs.problems import BadInput, Problem, at, closest

WORKER = Path(problems.__file__).parent
LANGUAGE = ("problems", "variables", "command", "output_prefix")


def test_a_problem_reads_as_one_line() -> None:
    problem = Problem("config.py line 12, MEMORY", "is not a number", "write 4000 for 4 GB")
    assert str(problem) == "config.py line 12, MEMORY: is not a number; write 4000 for 4 GB"
    assert str(Problem("", "no place", "find one")) == "no place; find one"


def test_bad_input_tells_every_problem_a_line() -> None:
    refused = BadInput(iter([Problem("a", "b", "c"), Problem("d", "e", "f")]))
    assert str(refused) == "a: b; c\nd: e; f"
    assert refused.exit_code == 2
    assert pickle.loads(pickle.dumps(refused)).problems == refused.problems


def test_a_place_is_put_inside_another() -> None:
    inside = [Problem("column 3", "b", "c", warning=True), Problem("", "b", "c")]
    assert at(inside, "job.py, COMMAND") == [
        Problem("job.py, COMMAND, column 3", "b", "c", warning=True),
        Problem("job.py, COMMAND", "b", "c"),
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("plte", "plate"),
        ("Plate", "plate"),
        ("PLATE", "plate"),
        ("output-dir", "output_dir"),
        ("outputdir", "output_dir"),
        ("wel", "well"),
        ("sigma", None),
        ("x", None),
        ("", None),
    ],
)
def test_a_slip_is_traced_to_the_name_that_was_meant(written: str, meant: str | None) -> None:
    assert closest(written, ["plate", "well", "output_dir"]) == meant


def test_the_language_can_be_written_into_the_hook_as_one_file() -> None:
    """It is joined there, unrendered by Jinja, without its own package."""
    defined: Counter[str] = Counter()
    for module in LANGUAGE:
        source = (WORKER / f"{module}.py").read_text(encoding="utf-8")
        assert not [sign for sign in ("{{", "{%", "{#") if sign in source]
        for node in ast.parse(source).body:
            if isinstance(node, ast.Assign):
                defined.update(target.id for target in node.targets if isinstance(target, ast.Name))
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined[node.name] += 1
            elif isinstance(node, ast.ImportFrom):
                assert node.module
                assert node.module.partition(".")[0] != "ds" or node.module.startswith("ds.jobs.")
                assert not [name for name in node.names if name.asname]
    assert [name for name, times in defined.items() if times > 1] == []
