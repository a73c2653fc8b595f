"""The Chromium in which pages are opened: the system's, whatever it is called here."""

import shutil

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
EXECUTABLE = next(filter(None, map(shutil.which, BROWSERS)), None)
