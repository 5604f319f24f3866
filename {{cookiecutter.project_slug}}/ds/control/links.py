"""Addresses of the documentation."""

DOCS_URL = "https://org.github.io/ds"


def docs_url(page: str, anchor: str = "") -> str:
    """Return the address of a page, or of a section of it."""
    return f"{DOCS_URL}/{page}/" + (f"#{anchor}" if anchor else "")
