"""Write docs/settings.md and docs/roles.md from the engine's tables: `make reference` runs this."""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT / "{{cookiecutter.project_slug}}"))

from ds.cloud import rights as roles  # noqa: E402
from ds.control.files.config_file import FIELDS, NEEDLESS, OTHERWISE, Settings, wanted  # noqa: E402

HEAD = """# Settings

<!-- Written by `make reference` from control/settings.py: edit that. -->

`config.py` is yours. It holds the settings of a run that your answers made; those that it leaves
out have the default below. The whole file is checked before anything is done, and every problem is
named with its line. A name within two letters of a setting is taken for a slip and refused.

**Other upper-case names are settings of your program**: `MODEL = "cyto3"` is `{MODEL}` in the
command and `$MODEL` in its environment, with no second edit. A name or value that looks like a
secret is refused, because no secret belongs into a file: put it into Secrets Manager or SSM's
Parameter Store and write `SECRETS = {"TOKEN": "arn:aws:secretsmanager:..."}`; the program then has
`$TOKEN`. Keys of AWS belong nowhere: you have the rights of `AWS_PROFILE`, jobs those of their
role.

Subnets, security groups and the like are in
[`files/exampleFleet.json`](findings.md#the-fleet-file).

| setting | type | range | default | unit | meaning |
|---|---|---|---|---|---|
"""

OLDER = """
## A config.py of Distributed-Something and its descendants

is read as it is: `'True'` and `'False'` as texts, `MACHINE_TYPE` as one text, numbers as texts, a
price of 0 or `''` as none. These settings mean nothing here; each is said to be needless and why:

| setting | why |
|---|---|
"""

PROGRAMS = """
These were settings of single implementations. Here they are the program's own, and said so:

| setting | instead |
|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = [
        f"| `{name}` | {kind(name)} | {limits(name)} | {default(name)} | {unit(name)} | "
        f"{Settings.model_fields[name].description} |\n"
        for name in FIELDS
    ]
    needless = [f"| `{name}` | {why} |\n" for name, why in NEEDLESS.items()]
    programs = [f"| `{name}` | {instead} |\n" for name, instead in OTHERWISE.items()]
    return "".join([HEAD, *rows, OLDER, *needless, PROGRAMS, *programs])


def kind(name: str) -> str:
    """A setting's type in a person's words."""
    types: dict[Any, str] = {int: "whole number", float: "number", bool: "yes or no", str: "text"}
    annotation = Settings.model_fields[name].annotation
    if annotation in types:
        return types[annotation]
    return {"MACHINE_TYPE": "list of texts", "MACHINE_PRICE": "number or None"}.get(name, "dict")


def limits(name: str) -> str:
    """What values a setting can have."""
    low = more = high = None
    for limit in Settings.model_fields[name].metadata:
        low = getattr(limit, "ge", low)
        more = getattr(limit, "gt", more)
        high = getattr(limit, "le", high)
        if getattr(limit, "pattern", None):
            return wanted(name).removeprefix("write ").replace("|", "\\|")
    least = f"more than {more}" if more is not None else f"{low:,}" if low is not None else ""
    if not least:
        return (
            wanted(name).removeprefix("write ") if kind(name) in ("dict", "list of texts") else ""
        )
    if high is None:
        return least if more is not None else f"at least {least}"
    return f"{least}, at most {high:,}" if more is not None else f"{least} to {high:,}"


def default(name: str) -> str:
    """A setting's default as Python."""
    field = Settings.model_fields[name]
    return "must be set" if field.is_required() else f"`{field.default!r}`"


def unit(name: str) -> str:
    """A setting's unit; most have none."""
    extra = Settings.model_fields[name].json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) else ""


if __name__ == "__main__":
    (DOCS / "settings.md").write_text(page(), encoding="utf-8")
    (DOCS / "roles.md").write_text(roles.page(), encoding="utf-8")
