"""`push`: push the image to the registry that its name contains."""

from __future__ import annotations

import base64
from pathlib import Path

import click

from ds.cloud.client import Aws, reporting_errors
from ds.cloud.names import ECR_IMAGE
from ds.control import docker
from ds.control.commands.common import open_project
from ds.jobs.placeholders import image_problem
from ds.jobs.problems import BadInput
from ds.jobs.settings import Settings


@click.command()
@click.pass_obj
def command(root: Path) -> int:
    """Push the image to its registry."""
    project = open_project(root)
    if problem := image_problem(project.settings):
        raise BadInput([problem])
    image = project.settings.DOCKERHUB_TAG
    docker.require(image)
    if ecr := ECR_IMAGE.match(image):
        _log_in(root, project.settings, ecr["registry"], ecr["region"])
    hint = "its repository must exist, and Docker must be logged in to it"
    docker.run(["docker", "push", image], root, f"{image} was not pushed; {hint}")
    return 0


def _log_in(root: Path, settings: Settings, registry: str, region: str) -> None:
    """Log Docker in to ECR with the credentials of AWS_PROFILE."""
    with reporting_errors(settings.AWS_PROFILE):
        answer = Aws(settings).client("ecr", region).get_authorization_token()
    token = answer["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    words = ["docker", "login", "--username", user, "--password-stdin", registry]
    docker.run(words, root, f"Docker could not log in to {registry}", password)
