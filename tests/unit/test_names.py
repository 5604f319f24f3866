"""Names of a run, and of images in Amazon ECR."""

from __future__ import annotations

import pytest

from ds.cloud.names import ECR_IMAGE, new_run_id

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
CHINA = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"

# The image's name, and registry, region, name, tag and digest.
IMAGES = [
    ("1.dkr.ecr.us-east-1.amazonaws.com/it:1", None),
    ("me/x:1", None),
    ("public.ecr.aws/lab/it:1", None),
    (f"evil.com/{REGISTRY}/x", None),
    (f"{REGISTRY}/it", (REGISTRY, "us-east-1", "it", None, None)),
    (f"{REGISTRY}/team/it:1", (REGISTRY, "us-east-1", "team/it", "1", None)),
    (f"{CHINA}/a/it:1", (CHINA, "cn-north-1", "a/it", "1", None)),
    (f"{REGISTRY}/it:1@sha256:x", (REGISTRY, "us-east-1", "it", "1", "sha256:x")),
]


@pytest.mark.parametrize(("image", "parts"), IMAGES)
def test_an_image_in_ecr_is_recognized_by_its_name(
    image: str, parts: tuple[str | None, ...] | None
) -> None:
    found = ECR_IMAGE.match(image)
    wanted = ("registry", "region", "name", "tag", "digest")
    assert (found and found.group(*wanted)) == parts
    assert found is None or found["account"] == "123456789012"


def test_a_run_is_named_after_its_beginning_in_utc() -> None:
    assert new_run_id(0) == "19700101T000000Z"
