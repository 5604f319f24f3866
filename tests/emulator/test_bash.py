"""The command language compared with bash: how words are split, and names that bash sets itself."""

import shutil
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ds.jobs.command import command_arguments, parse_command
from ds.jobs.problems import BadInput
from ds.jobs.variables import name_problem

BASH = shutil.which("bash")

HARMLESS = {
    "COMP_WORDBREAKS",
    "DIRSTACK",
    "EUID",
    "GROUPS",
    "HOSTTYPE",
    "MACHTYPE",
    "OSTYPE",
    "UID",
}


@pytest.mark.skipif(BASH is None, reason="no bash here")
def test_every_name_that_bash_sets_itself_is_refused() -> None:
    """Ask bash which names it has in an empty environment, and which of them can be set."""
    own = {name for name in in_bash("compgen -v", {}).split() if not name.startswith("BASH")}
    script = "".join(f'[ "${name}" = ours ] && echo {name}\n' for name in sorted(own))
    settable = set(in_bash(script, dict.fromkeys(own - {"SHELLOPTS"}, "ours")).split())
    assert {"SECONDS", "PPID"} <= own - settable
    assert {name for name in own - settable if name_problem(name) is None} <= HARMLESS


def in_bash(script: str, environment: dict[str, str]) -> str:
    return subprocess.run(
        [str(BASH), "-c", script], capture_output=True, text=True, check=False, env=environment
    ).stdout


@pytest.mark.skipif(BASH is None, reason="no bash here")
@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("ab \t\n'\"\\$-/.:,%@+é"), max_size=20))
@example('"a\\\nb" c\\\nd "\\$a" \'\\\' \\\\\n"\\a"')
def test_words_are_split_as_bash_splits_them(text: str) -> None:
    """If the language accepts a text without variables, bash splits it into the same words."""
    try:
        command = parse_command("a " + text)
    except BadInput:
        return
    script = f"words=(a {text}\n)\nprintf '%s\\0' \"${{words[@]}}\""
    done = subprocess.run([str(BASH), "-c", script], capture_output=True, check=True)
    assert command_arguments(command, {}, {}) == done.stdout.decode().split("\0")[:-1]
