"""A row of the table of what AWS refuses, and rules that rows share."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.emulator.aws.call import Call

Rule = Callable[[Call], str | None]
"""Return the message of the refusal, or None if the call is legal."""


@dataclass(frozen=True)
class Refusal:
    """One row.

    Attributes:
        operations: "service:Operation", one or more.
        what: what is refused, for a reader.
        code: the error code for the client.
        page: where AWS documents it.
        when: returns the message of the refusal, or None.
        assumed: AWS documents the refusal, but not its code.
    """

    operations: tuple[str, ...]
    what: str
    code: str
    page: str
    when: Rule
    status: int = 400
    assumed: bool = False


def tags_problem(tags: Mapping[str, str]) -> str | None:
    """Return why tags are refused, by the rules that all services share."""
    if len(tags) > 50:
        return "At most 50 tags can be set."
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value or "") > 256:
            return f"The tag '{key[:40]}' is too long or has no name."
        if key.lower().startswith("aws:"):
            return "Tag keys starting with 'aws:' are reserved for system use."
        if not all(re.fullmatch(r"[\w\s.:/=+\-@]*", text) for text in (key, value or "")):
            return (
                "Some tags contain invalid characters. Valid characters: UTF-8 letters, spaces, "
                "numbers and _ . / = + - : @."
            )
    return None
