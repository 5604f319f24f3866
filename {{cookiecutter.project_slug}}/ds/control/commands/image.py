"""`image`: build the image with the program and the worker."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import click

from ds.control import docker
from ds.control.commands.common import open_project


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[BUILD_OPTIONS]...")
@click.pass_obj
def command(root: Path, options: tuple[str, ...]) -> int:
    """Build the image of program and worker.

    BUILD_OPTIONS are passed to `docker build`.
    """
    project = open_project(root)
    image = docker.image_name(project)
    for words in docker.build_commands(image, _labels(root), platform.machine(), options):
        docker.run(words, root, f"{image} was not built; the lines above show the reason")
    for problem in docker.inspect(project):
        click.echo(f"warning: {problem}", err=True)
    return 0


def _labels(root: Path) -> dict[str, str]:
    """Return the OCI annotations that git and the Dockerfile provide."""
    labels = {
        "source": without_user(_git(root, "config", "--get", "remote.origin.url")),
        "version": _git(root, "describe", "--always", "--tags", "--dirty"),
        "base.name": docker.base_of((root / "Dockerfile").read_text(encoding="utf-8")),
    }
    return {f"org.opencontainers.image.{name}": text for name, text in labels.items() if text}


def _git(root: Path, *words: str) -> str:
    if shutil.which("git") is None:
        return ""
    ended = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return ended.stdout.strip()


def without_user(url: str) -> str:
    """Remove the user name and password from a repository's address."""
    parts = urlsplit(url)
    if not parts.scheme or not parts.hostname:
        return url  # git@host:path
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"{parts.hostname}{port}"))
