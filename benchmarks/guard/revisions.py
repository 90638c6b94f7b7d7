"""The two revisions: the working tree as it is, and a base in a second worktree, each built into its own package."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

#: Where a revision's object files lie in its tree.
OBJECTS = Path("build") / "guard-objects"
MAIN = ("main", "master", "origin/main", "origin/master")


@dataclass(frozen=True)
class Revision:
    """name: for people. commit: its hash, with "+" for changes on top. tree: its sources. folder: holds `headrace`."""

    name: str
    commit: str
    tree: Path
    folder: Path


def checkout() -> Path:
    """The root of the git checkout around the working directory. Raises ValueError outside of Headrace's sources."""
    try:
        root = Path(git(Path.cwd(), "rev-parse", "--show-toplevel"))
    except ValueError:
        root = Path()
    if not (root / "benchmarks" / "guard").is_dir():
        raise ValueError("the guard builds revisions from source: run it inside a git checkout of Headrace")
    return root


def base_of(root: Path, asked: str | None) -> tuple[str, str]:
    """(hash, how it was chosen): the revision asked for, else where this branch left the main one, else the commit
    before. Raises ValueError for an unknown revision and where there is none before this one."""
    if asked:
        return git(root, "rev-parse", "--verify", "--quiet", f"{asked}^{{commit}}", why=f"unknown: {asked!r}"), asked
    here = git(root, "rev-parse", "HEAD")
    for name in MAIN:
        try:
            base = git(root, "merge-base", "HEAD", name)
        except ValueError:
            continue
        if base != here:
            return base, f"where this branch left {name}"
        break
    return git(root, "rev-parse", "--verify", "--quiet", "HEAD~1", why="HEAD has no commit before it"), "HEAD~1"


def prepare(root: Path, asked: str | None) -> tuple[Revision, Revision, str]:
    """(base, this, how the base was chosen), both built. Raises ValueError when one cannot be."""
    base, how = base_of(root, asked)
    work = root / "build" / "guard"
    tree = _worktree(root, work / "tree", base)
    here = git(root, "rev-parse", "HEAD")
    changed = "+" if git(root, "status", "--porcelain", "--untracked-files=no") else ""
    # Names of one length: how long the paths of a process are moves its memory, and with it its times.
    first = Revision(f"base {base[:9]}", base, tree, work / "a")
    second = Revision(f"this {here[:9]}{changed}", here + changed, root, work / "b")
    for revision in (first, second):
        build(revision)
        if not (revision.folder / "headrace" / "benchmarks" / "harness" / "runner.py").exists():
            raise ValueError(f"{revision.name} has no benchmark harness; choose a later base")
    return first, second, how


def build(revision: Revision) -> None:
    """Makes the package with the extension, from scratch but for object files that are up to date."""
    shutil.rmtree(revision.folder, ignore_errors=True)
    where = ["--build-lib", str(revision.folder), "--build-temp", str(OBJECTS)]
    command = [sys.executable, "setup.py", "-q", "build", *where]
    run = subprocess.run(command, cwd=revision.tree, capture_output=True, text=True, check=False)
    if run.returncode:
        last = "\n".join((run.stderr or run.stdout).strip().splitlines()[-20:])
        raise ValueError(f"{revision.name} does not build:\n{last}")


def _worktree(root: Path, tree: Path, commit: str) -> Path:
    """A second worktree at `commit`: the one of an earlier run where there is one, with its object files."""
    if (tree / ".git").exists():
        flags = (tree / "setup.py").read_bytes()
        git(tree, "checkout", "--quiet", "--force", "--detach", commit)
        if (tree / "setup.py").read_bytes() != flags:
            shutil.rmtree(tree / "build", ignore_errors=True)
        return tree
    shutil.rmtree(tree, ignore_errors=True)
    git(root, "worktree", "add", "--quiet", "--force", "--detach", str(tree), commit)
    return tree


def git(folder: Path, *words: str, why: str = "") -> str:
    """What git prints. Raises ValueError with its words, or `why`, when it fails."""
    try:
        run = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ValueError(f"git cannot be run: {error}") from error
    if run.returncode:
        raise ValueError(f"base: {why}" if why else f"git {' '.join(words)}: {run.stderr.strip()}")
    return run.stdout.strip()
