"""The questions of `check` that no emulator answers as AWS does, with botocore's Stubber."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from ds.cloud.names import ECR_IMAGE
from ds.control.checks.ask import (
    MOST_PAGES,
    ami_variant,
    describe_bucket,
    ecr_image,
    find_subnets,
    input_exists,
    is_enabled,
    snapshot_size,
    spot_prices,
)
from ds.control.checks.rules import Bucket, Image, Machine
from ds.control.commands import check
from ds.jobs.resolve import Input
from tests.implementation import make_implementation


class Stubbed:
    """A stand-in for ds.cloud.client.Aws: one client, with the answers that a test gives it."""

    def __init__(self, service: str, region: str = "us-east-1") -> None:
        self.region = region
        self.profile = "default"
        self.asked_in: list[str] = []
        self._client = boto3.client(  # type: ignore[call-overload]
            service, region_name=region, aws_access_key_id="x", aws_secret_access_key="x"
        )
        self.stub = Stubber(self._client)
        self.stub.activate()

    def client(self, _: str, region: str = "") -> Any:
        self.asked_in.append(region)
        return self._client


@pytest.mark.parametrize(
    ("region", "home", "status", "enabled"),
    [
        ("af-south-1", "us-east-1", "not-opted-in", False),
        ("af-south-1", "us-east-1", "opted-in", True),
        ("us-west-2", "us-east-1", "opt-in-not-required", True),
        ("cn-northwest-1", "cn-north-1", "opt-in-not-required", True),
        ("us-gov-east-1", "us-gov-west-1", "opt-in-not-required", True),
    ],
)
def test_the_partitions_first_region_reports_whether_a_region_is_enabled(
    region: str, home: str, status: str, enabled: bool
) -> None:
    aws = Stubbed("ec2", region)
    answer = {"Regions": [{"RegionName": region, "OptInStatus": status}]}
    wanted = {"RegionNames": [region], "AllRegions": True}
    aws.stub.add_response("describe_regions", answer, wanted)
    assert is_enabled(aws) is enabled  # type: ignore[arg-type]
    assert aws.asked_in == [home]


def test_a_region_that_refuses_credentials_because_it_is_disabled_is_reported_as_disabled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Off(Stubbed):
        @property
        def caller(self) -> str:
            sts = boto3.client(
                "sts", "af-south-1", aws_access_key_id="x", aws_secret_access_key="x"
            )
            with Stubber(sts) as stub:
                stub.add_client_error("get_caller_identity", "InvalidClientTokenId")
                return str(sts.get_caller_identity()["Arn"])

    aws = Off("ec2", "af-south-1")
    regions = [{"RegionName": "af-south-1", "OptInStatus": "not-opted-in"}]
    aws.stub.add_response("describe_regions", {"Regions": regions})
    monkeypatch.setattr(check, "Aws", lambda _: aws)
    settings = {"DOCKERHUB_TAG": "lab/it:1", "AWS_REGION": "af-south-1"}
    report = check.check(make_implementation(tmp_path, settings=settings), None, None, False)
    (found,) = report.problems
    assert found.code == "DS-REGION"
    assert "af-south-1 is not enabled" in found.message
    assert report.exit_code == 1


@contextmanager
def served(body: bytes) -> Iterator[str]:
    """Serve a body at an address, as ECR does for a layer."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.001))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/config"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


ACCOUNT = "123456789012"
SINGLE = json.dumps({"config": {"digest": "sha256:c"}})


@pytest.mark.parametrize(
    ("config", "image"),
    [
        (b'{"architecture": "arm64"}', Image(True, ("arm64",))),
        (b'{"architecture": "amd64"}', Image(True, ("x86_64",))),
        (b"{}", Image(True)),
        (b"no json", Image(True)),
    ],
)
def test_the_architecture_of_a_single_image_is_read_from_its_configuration(
    config: bytes, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    place = ECR_IMAGE.match(f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/lab/it")
    assert place
    repository = {"registryId": ACCOUNT, "repositoryName": "lab/it"}
    with served(config) as address:
        aws = Stubbed("ecr")
        aws.stub.add_response("batch_get_image", {"images": [{"imageManifest": SINGLE}]})
        aws.stub.add_response(
            "get_download_url_for_layer",
            {"downloadUrl": address},
            {**repository, "layerDigest": "sha256:c"},
        )
        assert ecr_image(aws, place) == image  # type: ignore[arg-type]
    assert aws.asked_in == ["eu-west-1"]


def test_an_image_whose_configuration_cannot_be_fetched_exists() -> None:
    place = ECR_IMAGE.match(f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/lab/it@sha256:d")
    assert place
    aws = Stubbed("ecr")
    wanted = {
        "registryId": ACCOUNT,
        "repositoryName": "lab/it",
        "imageIds": [{"imageDigest": "sha256:d"}],
    }
    answer = {"images": [{"imageManifest": SINGLE}]}
    aws.stub.add_response("batch_get_image", answer, {**wanted, "acceptedMediaTypes": ANY})
    aws.stub.add_client_error("get_download_url_for_layer", "AccessDeniedException")
    assert ecr_image(aws, place) == Image(True)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", ["InvalidSubnetID.NotFound", "InvalidSubnetID.Malformed"])
def test_a_subnet_with_an_impossible_id_does_not_exist(code: str) -> None:
    aws = Stubbed("ec2")
    aws.stub.add_client_error("describe_subnets", code)
    assert find_subnets(aws, ["subnet-1"]) == {"subnet-1": None}  # type: ignore[arg-type]


def test_a_bucket_with_an_unclear_answer_exists_and_may_be_writable() -> None:
    aws = Stubbed("s3")
    aws.stub.add_response("head_bucket", {"BucketRegion": "eu-west-1"})
    aws.stub.add_client_error("create_multipart_upload", "SlowDown")
    assert describe_bucket(aws, "b") == Bucket("exists", "eu-west-1", None)  # type: ignore[arg-type]


ARM = Machine(8192, 2, architectures=("arm64",))
INTEL = Machine(8192, 2)


@pytest.mark.parametrize(
    ("gpus", "machines", "variant"),
    [
        (0, [INTEL], ""),
        (0, [], ""),
        (1, [INTEL], "gpu/"),
        (0, [ARM], "arm64/"),
        (0, [ARM, INTEL], ""),
        (1, [INTEL, ARM], "gpu/"),
    ],
)
def test_the_machine_image_fits_all_machines(
    gpus: int, machines: list[Machine], variant: str
) -> None:
    assert ami_variant(gpus, machines) == variant


@pytest.mark.parametrize(
    ("zones", "filters"),
    [
        (
            {"us-east-1b", "us-east-1a"},
            [{"Name": "availability-zone", "Values": ["us-east-1a", "us-east-1b"]}],
        ),
        (set(), []),
    ],
)
@pytest.mark.parametrize("order", [(0.5, 0.3, 0.4), (0.3, 0.4, 0.5), (0.5, 0.4, 0.3)])
def test_the_price_of_a_type_is_the_lowest_of_its_zones(
    zones: set[str], filters: list[dict[str, Any]], order: tuple[float, ...]
) -> None:
    aws = Stubbed("ec2")
    wanted = {
        "InstanceTypes": ["m5.large", "m6i.large", "c5.large"],
        "ProductDescriptions": ["Linux/UNIX"],
        "StartTime": ANY,
        "Filters": filters,
    }
    first, *others = [{"InstanceType": "m5.large", "SpotPrice": str(price)} for price in order]
    other = {"InstanceType": "m6i.large", "SpotPrice": "0.7"}
    page = {"SpotPriceHistory": [first, other], "NextToken": "more"}
    aws.stub.add_response("describe_spot_price_history", page, wanted)
    last = {"SpotPriceHistory": others}
    aws.stub.add_response("describe_spot_price_history", last, {**wanted, "NextToken": "more"})
    prices = spot_prices(aws, wanted["InstanceTypes"], zones)  # type: ignore[arg-type]
    assert prices == {"m5.large": 0.3, "m6i.large": 0.7}


def test_the_disk_is_the_root_device_of_the_image() -> None:
    class Two(Stubbed):
        def client(self, service: str, region: str = "") -> Any:
            return ssm if service == "ssm" else super().client(service, region)

    ssm = boto3.client("ssm", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    name = "/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id"
    aws = Two("ec2")
    disks = [
        {"DeviceName": "/dev/xvdb", "Ebs": {"VolumeSize": 99}},
        {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 30}},
    ]
    image = {"RootDeviceName": "/dev/xvda", "BlockDeviceMappings": disks}
    aws.stub.add_response("describe_images", {"Images": [image]}, {"ImageIds": ["ami-1"]})
    with Stubber(ssm) as stub:
        stub.add_response("get_parameter", {"Parameter": {"Value": "ami-1"}}, {"Name": name})
        assert snapshot_size(aws, "gpu/") == 30  # type: ignore[arg-type]


def test_a_folder_too_large_to_search_is_unknown() -> None:
    aws = Stubbed("s3")
    for number in range(MOST_PAGES):
        page = {"Contents": [{"Key": f"a/{number}.txt"}], "IsTruncated": True}
        aws.stub.add_response("list_objects_v2", {**page, "NextContinuationToken": str(number)})
    folder = Input("b", "a/", True, "*.tif", False, "/x")
    answer = input_exists(aws.client("s3"), folder)
    assert answer == "its folder has more than the 10000 files that were checked"
