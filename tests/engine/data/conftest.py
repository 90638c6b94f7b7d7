import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """The folder of a real data set, or a skip that says where it was looked for."""

    def find(name: str) -> Path:
        folder = Path(os.environ.get("HEADRACE_DATA", ROOT.parent / "shared" / "data")) / name
        if not folder.is_dir():
            pytest.skip(f"no data set at {folder} (set HEADRACE_DATA)")
        return folder

    return find
