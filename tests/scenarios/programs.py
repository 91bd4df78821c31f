"""How a scenario runs the programs of `children` in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["outputs", "start"]

_CHILDREN = Path(__file__).with_name("children.py")


def start(name: str, folder: Path, seed: int, *args: object, **more: Any) -> subprocess.Popen[str]:
    """Run one of them; `more` is for the stack that it opens, see `children.config`."""
    return subprocess.Popen(
        [sys.executable, str(_CHILDREN), name, str(folder), str(seed), *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CHILD": json.dumps(more)},
    )


def outputs(children: Sequence[subprocess.Popen[str]], patience: float = 60) -> list[str]:
    """What each of several children said until it ended by itself, in `patience` seconds."""
    found = []
    try:
        for child in children:
            out, err = child.communicate(timeout=patience)
            assert child.returncode == 0, err
            found.append(out)
    finally:
        for child in children:
            child.kill()
            child.communicate()
    return found
