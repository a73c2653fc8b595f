"""Makes sure that OpenGL in software is there, which drawing and face finding need and no wheel brings.

Installs it when run as root, and otherwise prints the one line to run.
"""

import ctypes
import glob
import os
import shutil
import subprocess
import sys

PACKAGES = ["libegl1", "libgles2", "libgl1-mesa-dri"]


def missing() -> bool:
    """Whether a library or Mesa's software driver can't be found."""
    for library in ("libEGL.so.1", "libGLESv2.so.2"):
        try:
            ctypes.CDLL(library)
        except OSError:
            return True
    drivers = ("/usr/lib*/dri/swrast_dri.so", "/usr/lib/*/dri/swrast_dri.so", "/usr/lib/*/libgallium*.so")
    return not any(glob.glob(pattern) for pattern in drivers)


def main() -> int:
    """Returns the exit code."""
    if not missing():
        return 0
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(["apt-get", "install", "-qq", "-y", "--no-install-recommends", *PACKAGES], check=True)
        return 0
    print(f"error: OpenGL's software libraries are missing; run: sudo apt-get install {' '.join(PACKAGES)}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
