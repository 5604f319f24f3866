"""The end of pre_gen_project.py, which `make hooks` writes: refuse bad answers, all at once."""

import json
import os
import shlex
import sys
from pathlib import Path

from ds.control.files.config_file import SETTING_NAMES
from hooks.answers import answers_file, check_answers

# Cookiecutter renders this one expression; the answers arrive as data, never as code.
CONTEXT = json.loads({{ '%r'|format(cookiecutter|jsonify) }})  # type: ignore  # fmt: skip  # noqa: F821
UNDER_CRUFT = "_commit" in CONTEXT


def main() -> int:
    """Tell all problems on stderr; the exit code, 1 if the answers are refused."""
    problems = check_answers(CONTEXT, SETTING_NAMES, updating=UNDER_CRUFT)
    refused = [problem for problem in problems if not problem.warning]
    warnings = [problem for problem in problems if problem.warning]
    if refused:
        tell("", "Refused, and nothing is written:", *(f"  {problem}" for problem in refused))
    if warnings:
        tell("", "To think about:", *(f"  {problem}" for problem in warnings))
    if refused:
        tell("", *how_to_try_again(output_folder()))
        tell("", "What follows is how cookiecutter itself says that it stops.", "")
    return 1 if refused else 0


def tell(*lines: str) -> None:
    """Write lines to stderr; what a terminal would obey is shown, not sent."""
    for line in lines:
        safe = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
        sys.stderr.write(safe + "\n")


def output_folder() -> Path:
    """Where the user wanted the implementation, and never in a folder that is removed now."""
    project = Path.cwd()
    folder = Path(CONTEXT.get("_output_dir", project.parent)).resolve()
    return project.parent if folder.is_relative_to(project) else folder


def how_to_try_again(folder: Path) -> list[str]:
    """Keep the answers in a file; the command line that reads it."""
    if UNDER_CRUFT:
        command = """cruft update --variables-to-update '{"QUESTION": "ANSWER"}'"""
        return ["Give other answers; in an implementation by:", "", f"  {command}"]
    try:
        file = write_anew(folder, answers_file(CONTEXT))
    except OSError as error:
        return [f"Your answers could not be kept: {error}"]
    words = ["cookiecutter", CONTEXT["_template"]]
    if CONTEXT["_checkout"]:
        words += ["--checkout", CONTEXT["_checkout"]]
    if os.environ.get("PWD") != str(folder):
        words += ["--output-dir", str(folder)]
    words += ["--config-file", str(file)]
    return ["Your answers are kept. Correct them in that file, then:", "", f"  {shlex.join(words)}"]


def write_anew(folder: Path, text: str) -> Path:
    """Write a file under the first name that is free, since somebody may have edited the others."""
    number = 1
    while True:
        file = folder / f"answers{f'-{number}' if number > 1 else ''}.yaml"
        try:
            with file.open("x", encoding="utf-8") as stream:
                stream.write(text)
        except FileExistsError:
            if file.is_file() and file.read_text(encoding="utf-8", errors="replace") == text:
                return file
            number += 1
        else:
            return file


if __name__ == "__main__":
    sys.exit(main())
