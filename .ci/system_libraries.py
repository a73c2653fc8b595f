"""Makes sure that OpenGL in software and GLib are there, which drawing and face finding need and no wheel brings, and a
Chromium.

Installs them when run as root, and otherwise prints the one line to run. Without Chromium the tests of the report's
page are skipped, so that its absence is reported but is no failure.
"""

import ctypes
import glob
import os
import shutil
import subprocess
import sys

PACKAGES = ["libegl1", "libgles2", "libgl1-mesa-dri", "libgl1", "libglib2.0-0"]
"""Newer systems call the last one libglib2.0-0t64; apt takes this name there, too."""
LIBRARIES = ["libEGL.so.1", "libGLESv2.so.2", "libGL.so.1", "libgthread-2.0.so.0"]
"""The first two are MediaPipe's and VTK's; the others OpenCV's, which MediaPipe imports."""
BROWSER = "chromium-headless-shell"
BROWSERS = ["chromium", "chromium-browser", "google-chrome", BROWSER]


def missing() -> bool:
    """Whether a library or Mesa's software driver can't be found."""
    for library in LIBRARIES:
        try:
            ctypes.CDLL(library)
        except OSError:
            return True
    drivers = ("/usr/lib*/dri/swrast_dri.so", "/usr/lib/*/dri/swrast_dri.so", "/usr/lib/*/libgallium*.so")
    return not any(glob.glob(pattern) for pattern in drivers)


def main() -> int:
    """Returns the exit code."""
    wanted = PACKAGES if missing() else []
    browser = not any(map(shutil.which, BROWSERS))
    if not wanted and not browser:
        return 0
    if os.geteuid() == 0 and shutil.which("apt-get"):
        install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends"]
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        if wanted:
            subprocess.run([*install, *wanted], check=True)
        if browser and subprocess.run([*install, BROWSER], check=False).returncode:
            print("no Chromium can be installed: the tests of the report's page will be skipped")
        return 0
    if browser:
        print(f"no Chromium: the tests of the report's page will be skipped; run: sudo apt-get install {BROWSER}")
    if wanted:
        print(f"error: OpenGL's software libraries or GLib are missing; run: sudo apt-get install {' '.join(wanted)}")
    return 1 if wanted else 0


if __name__ == "__main__":
    sys.exit(main())
