"""The reason of a failure shows its cause: the line that reports the error, not just the last."""

import pytest

from ds.worker.program import error_line, exit_reason, with_last_lines

# What real programs print last, and the line that a person needs.
PYTHON = """\
Traceback (most recent call last):
  File "/opt/measure.py", line 12, in <module>
    main()
  File "/opt/measure.py", line 8, in main
    raise ValueError("error: no cells in well A01")
ValueError: no cells in well A01"""
CHAINED = f"""\
{PYTHON}

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/opt/measure.py", line 14, in <module>
    sys.exit(cleanup())
FileNotFoundError: [Errno 2] No such file or directory: 'out.csv'"""
JAVA = """\
Exception in thread "main" java.lang.RuntimeException: Could not open image
\tat loci.formats.ImageReader.setId(ImageReader.java:650)
\tat org.cp.ErrorHandler.run(ErrorHandler.java:5)
\tat org.cp.Exception.raise(Exception.java:5)
Caused by: java.io.IOException: Truncated tile in s3.tif
\tat loci.formats.in.TiffReader.openBytes(TiffReader.java:100)
\tat org.cp.Exception.raise(Exception.java:5)
\t... 12 more"""
CELLPROFILER = """\
Times reported are CPU and Wall-clock times for each module
Error detected during run of module LoadData
Traceback (most recent call last):
  File "cellprofiler_core/pipeline/_pipeline.py", line 1020, in run_with_yield
    self.run_module(module, workspace)
ValueError: Could not find a field in the header: URL_OrigDNA
Failed to complete run!
WARNING: ERROR while stopping the JVM"""
ARGPARSE = """\
usage: measure [-h] --image IMAGE
measure: error: the following arguments are required: --image"""
USAGE_AFTER = """\
ERROR: unknown option --imgae
Usage: measure [OPTIONS] (error: 2)
  --image FILE    input; an error if missing"""
R = """\
Loading required package: methods
Error in readTIFF("a.tif") : unable to open a.tif
Calls: main -> readTIFF
Execution halted"""
R_TWO_LINES = """\
Error in library(EBImage) :
  there is no package called 'EBImage'
Execution halted"""
BASH = "run.sh: line 3: cellpose: command not found"
SEGFAULT = "run.sh: line 9:   12 Segmentation fault      (core dumped) segment a.tif"
SEGFAULT_WITH_WARNING = f"""\
{SEGFAULT}
warning: 3 files are left in /tmp"""
CPP = """\
terminate called after throwing an instance of 'std::runtime_error'
  what():  cannot allocate 9 GB"""
RUST = """\
thread 'main' panicked at src/main.rs:7:5:
tile 7 is empty
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace"""
NODE = """\
node:internal/modules/cjs/loader:1080
  throw err;
  ^

Error: Cannot find module 'sharp'
    at Module._resolveFilename (node:internal/modules/cjs/loader:1077:15)
    at Module._load (node:internal/modules/cjs/loader:922:27)

Node.js v18.19.1"""
GO = """\
panic: runtime error: index out of range [3] with length 3

goroutine 1 [running]:
main.main()"""
NEXTFLOW = """\
2026-01-31 12:00:00 [ERROR] tile 7: checksum differs
2026-01-31 12:00:01 [INFO] 0 errors: all other tiles are valid, no error: fine
Finished in 3 s"""
LOGGER = """\
ERROR:root:plate P1 has no images
INFO:root:bye"""
PROGRESS = """\
ERROR no images match *.tif
[WARN] error: 2 tiles are dark
Processing:  40%|####      | 4/10 [00:01<00:02,  3.1it/s]"""
ONLY_PROGRESS = "Processing:  40%|####      | 4/10 [00:01<00:02,  3.1it/s]"
WARNING_LAST = """\
OSError: [Errno 28] No space left on device
/usr/lib/python3/x.py:5: ResourceWarning: unclosed file, which is an error
sys:1: DeprecationWarning: raise ValueError: instead"""
FFMPEG = """\
[in#0 @ 0x55] Error opening input: Invalid data found when processing input
Error opening input file a.mp4.
Error opening input files: Invalid data found when processing input"""
MATLAB = """\
Error using imread (line 349)
File "a.tif" does not exist."""
GCC = """\
main.c:3:5: error: 'x' undeclared (first use in this function)
    3 |     x = 1;
      |     ^"""
PLAIN = """\
reading a.tif
done with errors in 3 of 7 tiles"""


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        (PYTHON, "ValueError: no cells in well A01"),
        (CHAINED, "FileNotFoundError: [Errno 2] No such file or directory: 'out.csv'"),
        (JAVA, "Caused by: java.io.IOException: Truncated tile in s3.tif"),
        (CELLPROFILER, "ValueError: Could not find a field in the header: URL_OrigDNA"),
        (ARGPARSE, "measure: error: the following arguments are required: --image"),
        (USAGE_AFTER, "ERROR: unknown option --imgae"),
        (R, 'Error in readTIFF("a.tif") : unable to open a.tif'),
        (R_TWO_LINES, "Error in library(EBImage) : there is no package called 'EBImage'"),
        (BASH, BASH),
        (SEGFAULT, SEGFAULT),
        (SEGFAULT_WITH_WARNING, SEGFAULT),
        (CPP, "what():  cannot allocate 9 GB"),
        (RUST, "thread 'main' panicked at src/main.rs:7:5: tile 7 is empty"),
        (NODE, "Error: Cannot find module 'sharp'"),
        (GO, "panic: runtime error: index out of range [3] with length 3"),
        (NEXTFLOW, "2026-01-31 12:00:00 [ERROR] tile 7: checksum differs"),
        (LOGGER, "ERROR:root:plate P1 has no images"),
        (PROGRESS, "ERROR no images match *.tif"),
        (WARNING_LAST, "OSError: [Errno 28] No space left on device"),
        (FFMPEG, "Error opening input files: Invalid data found when processing input"),
        (MATLAB, "Error using imread (line 349)"),
        (GCC, "main.c:3:5: error: 'x' undeclared (first use in this function)"),
        ("KeyboardInterrupt", "KeyboardInterrupt"),
        ("AssertionError", "AssertionError"),
        ("Error:", "Error:"),
        (ONLY_PROGRESS, None),
        (PLAIN, None),
        ("usage: measure --on-error stop", None),
        ("mean error 0.3", None),
        ("", None),
    ],
)
def test_the_line_that_reports_the_error_is_found(printed: str, line: str | None) -> None:
    assert error_line(printed.splitlines()) == line


@pytest.mark.parametrize(
    ("exit_code", "printed", "reason"),
    [
        (3, "a\nno such file", "exit code 3: no such file"),
        (3, "", "exit code 3"),
        (3, PLAIN, "exit code 3: done with errors in 3 of 7 tiles"),
        (2, ONLY_PROGRESS, f"exit code 2: {ONLY_PROGRESS}"),
        (2, USAGE_AFTER, "exit code 2: ERROR: unknown option --imgae"),
        (0, "last", "exit code 0: last"),
        (-11, ONLY_PROGRESS, "killed by SIGSEGV"),
        (-11, "", "killed by SIGSEGV"),
        (-6, CPP, "killed by SIGABRT: what():  cannot allocate 9 GB"),
        (-99, "last", "exit code -99: last"),
    ],
)
def test_an_exit_code_is_a_reason(exit_code: int, printed: str, reason: str) -> None:
    assert exit_reason(exit_code, printed.splitlines()) == reason


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("", "1 of 2"),
        ("a\nb\nc\nd", "1 of 2; the program printed: b | c | d"),
        ("ERROR x\nb\nc\nd", "1 of 2; the program printed: ERROR x | b | c | d"),
        ("a\nERROR x\nd", "1 of 2; the program printed: ERROR x | a | d"),
        ("  a\n a", "1 of 2; the program printed: a"),
    ],
)
def test_missing_outputs_are_explained_by_what_the_program_printed(
    printed: str, reason: str
) -> None:
    assert with_last_lines("1 of 2", printed.splitlines()) == reason
