"""Print what pip shall install to have a torch for CPUs; nothing if no index has one.

    python .ci/cpu_torch.py

What PyPI has for Linux brings gigabytes of CUDA along. Builds without are marked as local versions (`+cpu`), as in
``PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu``, or in a folder of wheels that pip is told of by
``PIP_FIND_LINKS``. On macOS and Windows all builds are for CPUs.
"""

import os
import re
import subprocess
import sys


def requirement() -> str:
    """Give the newest build without CUDA."""
    if sys.platform != "linux":
        return "torch"
    command = [sys.executable, "-m", "pip", "index", "versions", "torch"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PIP_QUIET": "0"}
    )
    listed = re.search(r"Available versions: (.*)", done.stdout)
    local = [v for v in listed[1].split(", ") if v.endswith("+cpu")] if listed else []
    return f"torch=={local[0]}" if local else ""


if __name__ == "__main__":
    print(requirement())
