"""`python -m tests.emulator.aws` writes the tables of docs/emulator.md."""

from tests.emulator.aws import document

if __name__ == "__main__":
    document.PAGE.write_text(document.page(), encoding="utf-8")
