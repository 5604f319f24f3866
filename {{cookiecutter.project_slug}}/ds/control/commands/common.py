"""Code that several commands share: arguments, options, and reading the implementation."""

from __future__ import annotations

from pathlib import Path

import click

from ds.control.files.project import Project, load_project

PATH = click.Path(path_type=Path)

GROUP = click.IntRange(1)
GROUP.name = "group number"

job_file_argument = click.argument("jobfile", type=PATH)

data_option = click.option(
    "--data",
    type=PATH,
    default=Path("data"),
    show_default=True,
    help="Folder that stands for the bucket; s3://other/key is other/key in it.",
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object and nothing else."
)


def open_project(root: Path) -> Project:
    """Read the implementation, and print its warnings to standard error."""
    project = load_project(root)
    for warning in project.warnings:
        click.echo(f"warning: {warning}", err=True)
    return project
