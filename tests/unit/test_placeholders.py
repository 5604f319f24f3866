"""Values that the owner must still provide."""

from __future__ import annotations

from typing import Any

import pytest

from ds.jobs.placeholders import is_placeholder, setting_problems
from ds.jobs.settings import Settings


@pytest.mark.parametrize(
    ("value", "placeholder"),
    [
        ("your-bucket-name", True),
        ("your-key-file.pem", True),
        ("your_key_file_name", True),
        ("bucket-name", True),
        ("user/distributed-something:sometag", True),
        ("subnet-your-id", True),
        ("sg-your-id", True),
        ("subnet-WWWWWWWW", True),
        ("sg-ZZZZZZZZZ", True),
        ("arn:aws:iam::XXXXXXXXXXXXX:instance-profile/ecsInstanceRole", True),
        ("arn:aws:sqs:some-region:111111100000:DeadMessages", True),
        ("colour-bucket", False),
        ("labour-data", False),
        ("my-bucket-name", False),
        ("lab/user/it:1", False),
        ("subnet-0123456789abcdef0", False),
        ("", False),
        ("Ada Lovelace", False),
    ],
)
def test_what_is_still_a_placeholder(value: str, placeholder: bool) -> None:
    assert is_placeholder(value) is placeholder


IMAGE = "config.py, DOCKERHUB_TAG: "


@pytest.mark.parametrize(
    ("settings", "problems"),
    [
        ({"AWS_BUCKET": "lab-images", "DOCKERHUB_TAG": "lab/it:1"}, []),
        (
            {"AWS_BUCKET": "your-bucket-name", "DOCKERHUB_TAG": "user/it:latest"},
            [
                "config.py, AWS_BUCKET: still has the placeholder 'your-bucket-name'; replace it "
                "with your own value",
                f"{IMAGE}still has the placeholder 'user/'; replace it with your registry account",
            ],
        ),
        (
            {"AWS_BUCKET": "lab-images"},
            [f"{IMAGE}has no value; write the name of the image, such as 'me/x:1'"],
        ),
    ],
)
def test_settings_that_still_need_a_value_are_all_reported(
    settings: dict[str, Any], problems: list[str]
) -> None:
    found = setting_problems(Settings(APP_NAME="Test", **settings))
    assert list(map(str, found)) == problems
