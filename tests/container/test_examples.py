"""The generated examples: built by `make image`, run by `local --docker`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.container import bases
from tests.container.bases import Downloads, docker
from tests.container.conftest import Build
from tests.emulator.test_imagej import MACRO, put_images
from tests.implementation import make_implementation
from tests.template import ROOT, clean_environment, copy_template, run


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_template(tmp_path_factory.mktemp("template"))


def generate(template: Path, folder: Path, name: str) -> Path:
    answers = str(ROOT / "examples" / f"{name}.yaml")
    words = ["cookiecutter", str(template), "--no-input", "--config-file", answers]
    done = run(folder, clean_environment(folder / "user"), *words)
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("Distributed-*")
    return made


def make(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--silent", *words, f"PYTHON={sys.executable}"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=280,
    )


def build_and_run(root: Path, downloads: Downloads) -> list[list[str]]:
    """Build the example's image, run its job file, and return every job's outputs."""
    downloads.offer("gnu")
    built = make(root, "image", f"BUILD={' '.join(downloads.build_arguments)}")
    assert built.returncode == 0, built.stderr[-3000:]
    words = ["local", "files/exampleJob.json", "--docker", "--json"]
    ended = subprocess.run(
        [sys.executable, "run.py", *words], cwd=root, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    answer = json.loads(ended.stdout)
    assert answer["done"] == answer["jobs"] == 2
    (name,) = re.findall(r"^DOCKERHUB_TAG = '(.+)'", (root / "config.py").read_text(), re.MULTILINE)
    assert docker("ps", "--all", "--quiet", f"--filter=ancestor={name}") == ""
    return [result["outputs"] for result in answer["results"]]


def test_helloworld(
    template: Path, tmp_path: Path, base: Callable[[str], str], downloads: Downloads
) -> None:
    assert base("debian") == "debian:bookworm-slim"
    root = generate(template, tmp_path, "helloworld")
    for (name,) in build_and_run(root, downloads):
        assert "my name is Ada Lovelace" in (root / "local-output" / name).read_text()
    config = json.loads(docker("image", "inspect", "user/distributed-helloworld"))[0]["Config"]
    assert config["Labels"]["org.opencontainers.image.base.name"] == "debian:bookworm-slim"
    refused = make(root, "push")
    assert refused.returncode == 2
    assert "still has the placeholder 'user/'" in refused.stderr
    (tmp_path / "typed").write_text('cat "$job_json" | head -3; pwd; echo $pizza\n')
    with (tmp_path / "typed").open() as typed:
        opened = subprocess.run(
            ["make", "--silent", "shell", "N=2", f"PYTHON={sys.executable}"],
            cwd=root,
            stdin=typed,
            capture_output=True,
            text=True,
            check=False,
        )
    assert "/job/work\nmushroom\n" in opened.stdout, opened.stderr
    folder = re.search(r"^Its folder: (.+)$", opened.stderr, re.MULTILINE)
    assert folder
    shutil.rmtree(folder[1])


def test_imagej(
    template: Path, tmp_path: Path, downloads: Downloads, base: Callable[[str], str]
) -> None:
    bases.imagej(tmp_path, "imagej:1.51g")
    root = generate(template, tmp_path, "imagej")
    (root / "data/macros").mkdir(parents=True)
    shutil.copy(MACRO, root / "data/macros")
    put_images(root / "data/images")
    for (name,) in build_and_run(root, downloads):
        assert len((root / "local-output" / name).read_text().splitlines()) > 5


def test_a_killed_control_process_leaves_no_container(
    base: Callable[[str], str], build: Build, tmp_path: Path
) -> None:
    root = make_implementation(
        tmp_path, command="sleep 1000", settings={"DOCKERHUB_TAG": "ds-test/killed"}
    )
    build("killed", f"FROM {base('debian')}\n", root)
    control = subprocess.Popen(
        [sys.executable, "run.py", "local", "files/exampleJob.json", "--docker"],
        cwd=root,
        env=os.environ,
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait(lambda: "sleep 1000" in _running())
    finally:
        control.send_signal(signal.SIGKILL)
        control.wait()
    _wait(lambda: docker("ps", "--all", "--quiet", "--filter=ancestor=ds-test/killed") == "")


def _running() -> str:
    ids = docker("ps", "--quiet", "--filter=ancestor=ds-test/killed").split()
    return "".join(docker("top", name) for name in ids)


def _wait(condition: Callable[[], bool], timeout: float = 60) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.3)
