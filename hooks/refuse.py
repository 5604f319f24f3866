"""The last part of pre_gen_project.py, which `make hooks` writes: it refuses bad answers."""

import json
import os
import shlex
import sys
from pathlib import Path

from hooks.answers import answers_file, check_answers

# Cookiecutter renders only this expression; the answers arrive as data, never as code.
CONTEXT = json.loads({{ '%r'|format(cookiecutter|jsonify) }})  # type: ignore  # fmt: skip  # noqa: F821
UNDER_CRUFT = "_commit" in CONTEXT


def main() -> int:
    """Report all problems on stderr, and return the exit code: 1 if answers are refused."""
    problems = check_answers(CONTEXT, updating=UNDER_CRUFT)
    refused = [problem for problem in problems if not problem.warning]
    warnings = [problem for problem in problems if problem.warning]
    if refused:
        write_lines("", "Refused. Nothing was written:", *(f"  {problem}" for problem in refused))
    if warnings:
        write_lines("", "Warnings:", *(f"  {problem}" for problem in warnings))
    if refused:
        write_lines("", *how_to_try_again(output_folder()))
        write_lines("", "(cookiecutter's own error follows.)", "")
    return 1 if refused else 0


def write_lines(*lines: str) -> None:
    """Write lines to stderr, with control characters escaped."""
    for line in lines:
        safe = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
        sys.stderr.write(safe + "\n")


def output_folder() -> Path:
    """Return the output folder, or its parent if cookiecutter is about to delete that folder."""
    project = Path.cwd()
    folder = Path(CONTEXT.get("_output_dir", project.parent)).resolve()
    return project.parent if folder.is_relative_to(project) else folder


def how_to_try_again(folder: Path) -> list[str]:
    """Save the answers in a file, and return lines that explain how to use the file."""
    if UNDER_CRUFT:
        command = """cruft update --variables-to-update '{"QUESTION": "ANSWER"}'"""
        return ["Change the answers; in an implementation run:", "", f"  {command}"]
    try:
        file = write_new_file(folder, answers_file(CONTEXT))
    except OSError as error:
        return [f"Your answers could not be saved: {error}"]
    words = ["cookiecutter", CONTEXT["_template"]]
    if CONTEXT["_checkout"]:
        words += ["--checkout", CONTEXT["_checkout"]]
    if os.environ.get("PWD") != str(folder):
        words += ["--output-dir", str(folder)]
    words += ["--config-file", str(file)]
    return [
        f"Your answers are saved in {file.name}. Correct them there, then run:",
        "",
        f"  {shlex.join(words)}",
    ]


def write_new_file(folder: Path, text: str) -> Path:
    """Write a file with the first unused name, because users may have edited existing files."""
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
