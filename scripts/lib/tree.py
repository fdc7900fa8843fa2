"""What the check scripts share: the files of the project, and the end of a check."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True


def project_files():
    """Paths of the project's files from its root, with '/', sorted; new files that git ignores not."""
    try:
        listed = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"],
            cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        paths = [p for p in listed.decode().split("\0") if p]
    except (OSError, subprocess.CalledProcessError):
        paths = []
        for folder, folders, names in os.walk(ROOT):
            folders[:] = [f for f in folders if f not in (".git", "build", "__pycache__")]
            paths += [os.path.relpath(os.path.join(folder, n), ROOT) for n in names]
    return sorted({p for p in paths if (ROOT / p).is_file()})


def read(path):
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def is_source(path):
    return path.endswith((".c", ".cc", ".h"))


def is_test(path):
    """Tests, and what only tests are linked with."""
    name = path.rsplit("/", 1)[-1]
    return (path.startswith("tests/") or "/testdata/" in path or "_test." in name or
            name.startswith(("test_", "fake_", "sim_")))


def finish(name, problems):
    for problem in problems:
        print(problem)
    if problems:
        print(f"{name}: {len(problems)} problems")
        sys.exit(1)
