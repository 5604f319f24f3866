"""Write docs/settings.md and docs/roles.md from the engine's tables: `make reference` runs this."""

import sys
from dataclasses import MISSING
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT / "{{cookiecutter.project_slug}}"))

from ds.cloud import rights as roles  # noqa: E402
from ds.control.files.config_file import NEEDLESS, OTHERWISE, SETTINGS, wanted  # noqa: E402

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
        f"{SETTINGS[name].metadata['doc']} |\n"
        for name in SETTINGS
    ]
    needless = [f"| `{name}` | {why} |\n" for name, why in NEEDLESS.items()]
    programs = [f"| `{name}` | {instead} |\n" for name, instead in OTHERWISE.items()]
    return "".join([HEAD, *rows, OLDER, *needless, PROGRAMS, *programs])


def kind(name: str) -> str:
    """A setting's type in a person's words."""
    types = {
        "int": "whole number",
        "float": "number",
        "bool": "yes or no",
        "str": "text",
        "Sequence[str]": "list of texts",
        "float | None": "number or None",
    }
    return types.get(str(SETTINGS[name].type), "dict")


def limits(name: str) -> str:
    """What values a setting can have."""
    given = SETTINGS[name].metadata["limits"]
    if "pattern" in given or kind(name) in ("dict", "list of texts"):
        return wanted(name).removeprefix("write ").replace("|", "\\|")
    if "gt" in given:
        least = f"more than {given['gt']}"
        return f"{least}, at most {given['le']:,}" if "le" in given else least
    if "ge" not in given:
        return ""
    least = f"{given['ge']:,}"
    return f"{least} to {given['le']:,}" if "le" in given else f"at least {least}"


def default(name: str) -> str:
    """A setting's default as Python."""
    item = SETTINGS[name]
    if item.default is not MISSING:
        return f"`{item.default!r}`"
    return "must be set" if item.default_factory is MISSING else f"`{item.default_factory()!r}`"


def unit(name: str) -> str:
    """A setting's unit; most have none."""
    return str(SETTINGS[name].metadata["unit"])


if __name__ == "__main__":
    (DOCS / "settings.md").write_text(page(), encoding="utf-8")
    (DOCS / "roles.md").write_text(roles.page(), encoding="utf-8")
