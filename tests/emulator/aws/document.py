"""Write the tables of docs/emulator.md from the code."""

import re
from dataclasses import fields
from pathlib import Path

from tests.emulator.aws.refusals import MESSAGES, TABLE
from tests.emulator.aws.refuse_sqs import SQS
from tests.emulator.aws.state import Settings

START, END = "<!-- generated: python -m tests.emulator.aws -->", "<!-- end -->"
PAGE = Path(__file__).resolve().parents[3] / "docs" / "emulator.md"


def tables() -> str:
    """Return the tables of refusals and of settings."""
    refused = ["| operation | refused | code | source |", "|---|---|---|---|"]
    for row in TABLE:
        many = len(row.operations) > 4
        names = "most of ECS" if many else ", ".join(f"`{o}`" for o in row.operations)
        code = f"`{row.code}`{' (assumed)' if row.assumed else ''}"
        refused.append(f"| {names} | {row.what} | {code} | [{_name(row.page)}]({row.page}) |")
    for what, code, page in MESSAGES:
        name = page.removesuffix(".html")
        refused.append(f"| messages | {what} | `{code}` | [{name}]({SQS}{page}) |")
    source = Path(__file__).with_name("state.py").read_text()
    settings = ["| setting | default | meaning |", "|---|---|---|"]
    for field in fields(Settings):
        text = re.search(rf'{field.name}: .*\n    """((?:.|\n)*?)"""', source)
        what = " ".join(text[1].split()) if text else ""
        settings.append(f"| `{field.name}` | `{field.default}` | {what} |")
    return "\n".join([*refused, "", "### Settings", "", *settings])


def page() -> str:
    """Return docs/emulator.md with current tables."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    return f"{before}{START}\n\n{tables()}\n\n{END}{rest.partition(END)[2]}"


def _name(address: str) -> str:
    return address.rpartition("/")[2].removesuffix(".html").removeprefix("API_")
