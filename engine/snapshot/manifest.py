"""The manifest of a version: what it says, and its checks."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import Field, StrictInt, ValidationError, field_validator, model_validator

from headrace.section import Section, first_problem
from headrace.snapshot.folder import SnapshotError

FORMAT = "headrace-snapshot"
VERSION = 2
TENSORS, TABLE = ".safetensors", ".arrow"
#: Names of parts are names of files in the version's folder.
_NAME = re.compile(r"[^./\\\0][^/\\\0]{0,199}")


class Part(Section):
    """One file of a version."""

    bytes: StrictInt = Field(ge=0, description="its size")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="its checksum")


class Manifest(Section):
    """What manifest.json holds."""

    format: str = Field(pattern=f"^{FORMAT}$", description="what it is")
    version: StrictInt = Field(ge=1, le=VERSION, description="of the format")
    info: dict[str, Any] = Field(description="what is known of the whole")
    facts: dict[str, dict[str, Any]] = Field(default={}, description="state -> its facts")
    parts: dict[str, Part] = Field(description="file -> what it must be")

    @field_validator("parts")
    @classmethod
    def _names_stay_in_the_folder(cls, parts: dict[str, Part]) -> dict[str, Part]:
        for name in parts:
            if not _NAME.fullmatch(name) or Path(name).suffix not in (TENSORS, TABLE):
                raise ValueError(f"expected names of files that end in {TENSORS} or {TABLE}, got {name!r}")
        return parts

    @model_validator(mode="after")
    def _every_state_has_a_file(self) -> Manifest:
        states = {name.removesuffix(TENSORS) for name in self.parts if name.endswith(TENSORS)}
        if self.version > 1 and (odd := states ^ self.facts.keys()):
            raise ValueError(f"facts: expected those of the states that have files, {min(odd)!r} has one alone")
        return self


def check_part_name(name: str) -> None:
    """Raises ValueError for a name that no state and no table can have."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"expected a part's name that a file can have, got {name!r}")


def parsed(path: Path, text: bytes) -> Manifest:
    """The manifest in a file's text. Raises SnapshotError, naming the file and what is wrong."""
    try:
        known = json.loads(text, parse_float=_finite, parse_constant=_no_constant)
    # Nothing that was written is nested so deep.
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"{path}: not readable: {error}") from error
    if not isinstance(known, dict) or known.get("format") != FORMAT:
        found = known.get("format") if isinstance(known, dict) else known
        raise SnapshotError(f"{path}: expected format {FORMAT!r}, got {str(found)[:80]!r}")
    version = known.get("version")
    if type(version) is int and version > VERSION:
        raise SnapshotError(f"{path}: format version {version} is newer than this release reads (up to {VERSION})")
    try:
        return Manifest.model_validate(known)
    except ValidationError as error:
        raise SnapshotError(f"{path}: {first_problem(error)}") from error


def digest_of(file: BinaryIO) -> str:
    """The SHA-256 of the rest of an open file."""
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"expected finite numbers, got {text}")
    return number


def _no_constant(text: str) -> float:
    raise ValueError(f"expected finite numbers, got {text}")
