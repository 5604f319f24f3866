"""Images: the worker on top of different programs, which it does not change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.container.bases import docker
from tests.container.conftest import Build
from tests.container.machine import Containers
from tests.implementation import make_implementation

JOB = """sh -c 'echo "$name" > "$output_dir/out.txt"'"""

LARGEST_MB = 75
"""Maximum that the worker may add; docs/container.md has the actual size."""

# A base that is as inconvenient for the worker as possible.
AWKWARD = """
FROM {base}
ENV PATH=/prog/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/prog/lib PYTHONHOME=/prog \\
    PYTHONSTARTUP=/prog/start.py LD_LIBRARY_PATH=/prog/lib LC_ALL=POSIX UV_PYTHON=2.7 \\
    UV_PYTHON_DOWNLOADS=never UV_NO_BINARY=1 PIP_INDEX_URL=http://nowhere.invalid
RUN mkdir -p /prog/lib /prog/bin /prog/home /prog/worker && echo 'raise SystemExit(9)' \\
    | tee /prog/json.py /prog/lib/json.py /prog/worker/__init__.py /prog/job.py && \\
    chmod 1777 /prog/home
ENV HOME=/prog/home
WORKDIR /prog
USER 1234:5678
SHELL ["/bin/false"]
ENTRYPOINT ["/bin/false"]
CMD ["no"]
STOPSIGNAL SIGQUIT
"""

SEEN = "pwd; id -u; id -g; env | sort; command -v python3 sh tail"

OF_THE_JOB = (
    *("AWS_", "APP_", "DS_", "DOCKER_CORES", "CPUS_PER_JOB", "JOB_", "CHECK_", "EXPECTED_", "MIN_"),
    *("NECESSARY_", "WORKING_", "LOG_GROUP", "name=", "output_dir=", "work_dir=", "job_id="),
    *("cores=", "job_json=", "TMPDIR="),
)
"""Variables that the program has in addition to those of its image."""


@pytest.mark.parametrize("kind", ["debian", "old glibc", "python", "musl"])
def test_jobs_run_on_every_kind_of_base(
    base: Callable[[str], str], build: Build, containers: Containers, kind: str
) -> None:
    image = build(kind.replace(" ", "-"), f"FROM {base(kind)}\n")
    containers.implement(JOB)
    containers.send([{"name": "a"}, {"name": "b"}])
    containers.finish(image)
    assert containers.outputs() == {"out/a/out.txt": b"a\n", "out/b/out.txt": b"b\n"}


@pytest.mark.parametrize("kind", ["debian", "musl"])
def test_the_program_sees_its_image_and_nothing_of_the_worker(
    base: Callable[[str], str], build: Build, containers: Containers, kind: str
) -> None:
    image = build(f"awkward-{kind}", AWKWARD.format(base=base(kind)))
    containers.implement(f"""sh -c '({SEEN}; true) > "$output_dir/out.txt"'""")
    containers.set(WORKING_FOLDER="image")
    containers.send([{"name": "a"}])
    name = containers.finish(image)
    (output,) = containers.outputs().values()
    without = docker(
        *("run", "--rm", "--network=host", "--hostname", name, "--entrypoint", "sh"),
        *(f"{image}-program", "-c", f"{SEEN}; true"),
    )
    seen = [line for line in output.decode().splitlines() if not line.startswith(OF_THE_JOB)]
    assert seen == without.splitlines()


def test_an_edit_of_job_py_changes_only_the_last_layer(
    base: Callable[[str], str], build: Build, tmp_path: Path
) -> None:
    root = make_implementation(tmp_path)
    dockerfile = f"FROM {base('debian')}\n"
    before = _layers(build("edited", dockerfile, root))
    (root / "job.py").write_text((root / "job.py").read_text() + "# an edit\n")
    after = _layers(build("edited", dockerfile, root))
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


def test_the_worker_adds_three_small_layers(image: str) -> None:
    program, both = (_inspected(name) for name in (f"{image}-program", image))
    added = len(both["RootFS"]["Layers"]) - len(program["RootFS"]["Layers"])
    megabytes = (both["Size"] - program["Size"]) / 1e6
    print(f"the worker adds {added} layers, {megabytes:.1f} MB")
    assert added == 3
    assert 20 < megabytes < LARGEST_MB
    listed = docker(
        *("run", "--rm", "--network=none", "--entrypoint=ls", image),
        *("-p", "/opt/ds/python/lib/python3.13/site-packages/botocore/data"),
    )
    services = [name for name in listed.split() if name.endswith("/")]
    assert services == ["ecs/", "logs/", "s3/", "sqs/", "sts/"]


def _layers(image: str) -> list[str]:
    layers: list[str] = _inspected(image)["RootFS"]["Layers"]
    return layers


def _inspected(image: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(docker("image", "inspect", image))[0]
    return document
