"""Snapshots on disk: versioned, checksummed, memory-mapped, and replaced in one step.

    snapshot/
      CURRENT            the version in use and its manifest's checksum; replaced atomically, last of all
      LOCK               held by whoever changes CURRENT
      <version>/         appears whole; the version in use and the one before it are kept
        manifest.json    format, what the snapshot is, each state's facts, and each file's size and SHA-256
        <state>.safetensors, <table>.arrow
      work-<job>/        checkpoints of a build that has not ended

A writer that dies, however it dies, leaves CURRENT as it was, so the old snapshot still loads. Nothing else that lies
in the folder is ever touched.
"""

from headrace.snapshot.folder import SnapshotError, check_folder, work_folder
from headrace.snapshot.reading import read_snapshot
from headrace.snapshot.writing import Snapshot, write_snapshot

__all__ = ["Snapshot", "SnapshotError", "check_folder", "read_snapshot", "work_folder", "write_snapshot"]
