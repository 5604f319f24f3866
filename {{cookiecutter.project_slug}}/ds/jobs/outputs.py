"""The rule that decides whether a job's outputs are complete, as local files or in a bucket."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class OutputFile:
    """An output file: its path relative to the output folder or prefix, and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class OutputRule:
    """The settings EXPECTED_NUMBER_FILES, MIN_FILE_SIZE_BYTES and NECESSARY_STRING."""

    expected_number_files: int = 1
    min_file_size_bytes: int = 1
    necessary_string: str = ""

    def counts(self, file: OutputFile) -> bool:
        """Return whether a file is large enough and its path contains the necessary string."""
        return file.size >= self.min_file_size_bytes and self.necessary_string in file.path

    def missing(self, files: Iterable[OutputFile]) -> str | None:
        """Explain why a job's outputs are not complete; return None if they are."""
        files = list(files)
        found = sum(map(self.counts, files))
        if found >= self.expected_number_files:
            return None
        named = f" and {self.necessary_string!r} in the name" if self.necessary_string else ""
        return (
            f"output files are missing: expected {self.expected_number_files} of at least "
            f"{self.min_file_size_bytes} bytes{named}, found {found} (of {len(files)} written)"
        )

    def already_done(self, files: Iterable[OutputFile]) -> bool:
        """Return whether a job with these files can be skipped; never if no files are expected."""
        return self.expected_number_files > 0 and self.missing(files) is None
