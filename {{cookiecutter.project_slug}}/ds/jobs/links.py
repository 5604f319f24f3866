"""The address of the documentation, and links to its pages."""

DOCS_URL = "https://org.github.io/ds"


def docs_url(page: str, anchor: str = "") -> str:
    """Return the address of a documentation page, or of a section in it."""
    return f"{DOCS_URL}/{page}/" + (f"#{anchor}" if anchor else "")
