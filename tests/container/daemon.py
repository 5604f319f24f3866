"""A Docker daemon for tests: the one that answers, or a new one.

If neither is possible, the tests are skipped with the reason.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("docker.io", "mmdebstrap")
"""Debian packages; mmdebstrap creates base images if no registry can be reached."""


class Unavailable(Exception):
    """No daemon answers and none can be started; the message is the reason."""


@contextlib.contextmanager
def daemon() -> Iterator[None]:
    """Provide a daemon for the `docker` on PATH.

    Raises:
        Unavailable: no daemon answers and none can be started.
    """
    if _answers():
        yield
        return
    _install()
    # The path of a socket can have only 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="ds-docker-", dir="/tmp"))
    before = dict(os.environ)
    os.environ.update(
        DOCKER_HOST=f"unix://{folder}/docker.sock",
        DOCKER_BUILDKIT="1",
        # Debian's client has the version of the daemon.
        PATH=f"/usr/bin:{os.environ['PATH']}",
    )
    log = (folder / "dockerd.log").open("wb")
    process = subprocess.Popen(
        [
            *("dockerd", "--log-level=warn", "-H", os.environ["DOCKER_HOST"]),
            *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
            *("--pidfile", str(folder / "pid"), "--bridge=none", "--iptables=false"),
            *("--ip6tables=false", "--ip-forward=false"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        end = time.monotonic() + 60
        while not _answers():
            if process.poll() is not None or time.monotonic() > end:
                last = (folder / "dockerd.log").read_text(errors="replace").strip()[-300:]
                raise Unavailable(f"dockerd did not start: {last}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)
        os.environ.clear()
        os.environ.update(before)
        subprocess.run(["umount", str(folder / "exec/netns/default")], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _answers() -> bool:
    if shutil.which("docker") is None:
        return False
    asked = subprocess.run(["docker", "version"], capture_output=True, check=False)
    return asked.returncode == 0


def _install() -> None:
    if shutil.which("dockerd") and shutil.which("mmdebstrap"):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unavailable("no Docker daemon answers, and only root on Debian can start one")
    apt_install(*PACKAGES)


def apt_install(*packages: str) -> None:
    """Install Debian packages.

    Raises:
        Unavailable: apt-get failed.
    """
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=180"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run([*apt, "update"], check=True, capture_output=True, env=environment)
        subprocess.run(
            [*apt, "install", "-y", "--no-install-recommends", *packages],
            check=True,
            capture_output=True,
            env=environment,
        )
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()[-300:]
        raise Unavailable(f"apt-get cannot install {' '.join(packages)}: {reason}") from error
