"""The questions, answered by hand in a terminal."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pexpect

from tests.template import YOURS, clean_environment

QUESTIONS = 21


def answer(tmp_path: Path, template: Path, answers: Mapping[int, str]) -> tuple[Path, str]:
    """Answer questions by number, Enter to all others; return the repository and the output."""
    here = tmp_path / "here"
    here.mkdir()
    dialogue = pexpect.spawn(
        sys.executable,
        ["-m", "cookiecutter", str(template)],
        cwd=str(here),
        env={**clean_environment(tmp_path / "home"), "TERM": "dumb", "COLUMNS": "200"},
        encoding="utf-8",
        dimensions=(50, 200),
        timeout=60,
    )
    seen = ""
    for number in range(1, QUESTIONS + 1):
        dialogue.expect_exact(f"[{number}/{QUESTIONS}]")
        dialogue.expect(r"\):\s*$")  # the default in brackets; ":" alone also stands in texts
        seen += dialogue.before
        dialogue.sendline(answers.get(number, ""))
    dialogue.expect(pexpect.EOF)
    seen += dialogue.before
    dialogue.close()
    assert dialogue.exitstatus == 0, dialogue.before
    (made,) = here.iterdir()
    return made, " ".join(seen.split())  # as one line, however wide the terminal was taken to be


def test_enter_at_every_question_gives_helloworld(tmp_path: Path, template: Path) -> None:
    made, seen = answer(tmp_path, template, {})
    assert made.name == "Distributed-HelloWorld"
    assert "'ice_cream': 'text'" in (made / "job.py").read_text(encoding="utf-8")
    assert "Created Distributed-HelloWorld. Run `make local` in it; README.md describes" in seen
    assert seen.count("e.g.") >= QUESTIONS - 4
    assert seen.count("one space = none") == 2
    assert "[--mask {mask}]" in seen
    assert "\\[" not in seen


def test_a_command_of_ones_own_leaves_nothing_of_helloworld(tmp_path: Path, template: Path) -> None:
    answers = {  # Enter at all others; these two have no default then
        1: "Distributed-Measure",
        8: "measure {image} {output_dir}",
        9: "image=a|b",
        12: "out/{image}",
    }
    made, _ = answer(tmp_path, template, answers)
    assert made.name == "Distributed-Measure"
    for name in YOURS:
        text = (made / name).read_text(encoding="utf-8")
        assert not re.search("hello|pizza|ice_cream|favorite|MY_NAME", text, re.IGNORECASE), name
