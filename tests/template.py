"""The template for a test: a clean copy, default answers, literal answers, git."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "{{cookiecutter.project_slug}}"
PARTS = ("cookiecutter.json", "hooks", "templates", FOLDER)

YOURS = (
    "README.md",
    "config.py",
    "job.py",
    "Dockerfile",
    "files/exampleFleet.json",
    "files/exampleJob.json",
    "LICENSE",
)
"""The files that are rendered; all others are the engine, copied unchanged."""


def copy_template(folder: Path) -> Path:
    """Copy the working tree's version of all files that git tracks, without caches of tools."""
    listed = git(ROOT, "ls-files", "-z", "--", *PARTS)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def default_answers(**changes: str) -> dict[str, str]:
    """Return all answers: `changes`, and the defaults that follow from their command."""
    command = {"command": literal(changes["command"])} if "command" in changes else {}
    context = generate_context(str(ROOT / "cookiecutter.json"), extra_context=command)
    answers = prompt_for_config(context, no_input=True)
    return {name: answer for name, answer in answers.items() if not name.startswith("_")} | changes


def literal(answer: str) -> str:
    """Return text that cookiecutter renders to this answer."""
    return re.sub(r"\{[{%#\r]|\r", lambda found: "{{ %r }}" % found[0], answer)  # noqa: UP031


def git(folder: Path, *words: str) -> str:
    """Run git in a folder as a user with a name; return its output."""
    command = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *words]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder: Path, message: str) -> str:
    """Commit everything in a folder, creating its repository if needed; return the commit."""
    if not (folder / ".git").exists():
        git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment in which cookiecutter and cruft ignore the settings of this user."""
    home.mkdir(exist_ok=True)
    config = home / "cookiecutter.yaml"
    if not config.exists():
        config.write_text(f"replay_dir: {home / 'replay'}\ncookiecutters_dir: {home / 'clones'}\n")
    kept = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "HOME": str(home), "COOKIECUTTER_CONFIG": str(config), **more}


def run(
    folder: Path, environment: Mapping[str, str], *words: str
) -> subprocess.CompletedProcess[str]:
    """Run `python -m WORDS` in a folder."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**environment, "PWD": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )
