"""The files in --data that jobs refer to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ds.control.local.data import found
from ds.jobs.resolve import Input


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Files, and everything else that a folder can have."""
    for name in ("in/a.tif", "in/deep/b.tif", "in/._a.tif", "else/c.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    os.mkfifo(tmp_path / "in" / "fifo.tif")
    links = {
        "in/gone.tif": "nowhere",
        "in/self.tif": "self.tif",
        "in/linked.tif": "../else/c.tif",
        "in/a-link-to-deep": "deep",
        "in/deep/loop": "..",
        "in/other": "../else",
        "else/back": "../in",
    }
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    return tmp_path


@pytest.mark.parametrize(
    ("key", "pattern", "keys", "left_out"),
    [
        (
            "in/",
            "",
            ["in/._a.tif", "in/a.tif", "in/linked.tif", "in/deep/b.tif", "in/other/c.tif"],
            ["fifo.tif", "gone.tif", "self.tif", "a-link-to-deep", "deep/loop", "other/back"],
        ),
        ("in/", "*.tif", ["in/a.tif", "in/linked.tif"], ["fifo.tif", "gone.tif", "self.tif"]),
        ("in/deep/", "*.tif", ["in/deep/b.tif"], []),
        ("none/", "", [], []),
    ],
)
def test_regular_files_are_inputs_and_each_folder_is_walked_once(
    data: Path, key: str, pattern: str, keys: list[str], left_out: list[str]
) -> None:
    reports: list[str] = []
    item = Input("b", key, True, pattern, False, "")
    assert [one for one, _ in found(item, data, reports.append)] == keys
    quoted = [report.partition(": is left out; it is ")[0] for report in reports]
    assert quoted == [repr(str(data / "in" / name)) for name in left_out]


@pytest.mark.parametrize("name", ["fifo.tif", "gone.tif", "self.tif", "deep"])
def test_what_is_not_a_regular_file_is_missing(data: Path, name: str) -> None:
    assert list(found(Input("b", f"in/{name}", False, "", False, ""), data)) == []
