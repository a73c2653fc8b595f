"""Checks the links of README.md, CONTRIBUTING.md and docs/: `python docs/check_links.py [--fetch]`.

Links to files of the repository, and to headings in them, must lead somewhere; outside ones must be whole https
addresses. They are listed with their pages. `--fetch` also opens each of them, which needs a network. Exit code 1 if a
link is bad.
"""

import argparse
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
_TIMEOUT = 30  # s


class Link(NamedTuple):
    """Where a link stands, and where it leads."""

    page: Path
    target: str


def pages(root: Path = ROOT) -> list[Path]:
    """Every page of Markdown that people read."""
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]


def links(page: Path) -> list[Link]:
    """The links of a page, outside its code."""
    text = re.sub(r"^```.*?^```$|`[^`\n]+`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"<?(https?://[^\s)>\]]+)", text)
    return [Link(page, target) for target in dict.fromkeys(found)]


def anchors(page: Path) -> set[str]:
    """What GitHub and MyST call the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+?)\s*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def is_outside(link: Link) -> bool:
    """Whether a link leads out of the repository."""
    return re.match(r"[a-z]+:", link.target) is not None


def fault_of(link: Link) -> str | None:
    """What is wrong with a link, as far as can be seen without a network."""
    if is_outside(link):
        whole = re.fullmatch(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(/[\w.~/?=&%#+,:@-]*)?", link.target)
        return None if whole else "is no whole https address"
    place, _, heading = link.target.partition("#")
    target = (link.page.parent / place).resolve() if place else link.page
    if not target.exists():
        return "leads to a file that is not there"
    if heading and target.suffix == ".md" and heading not in anchors(target):
        return f"leads to a heading that {target.name} does not have"
    return None


def fetched(target: str) -> str | None:
    """What is wrong with an outside link when it is opened."""
    request = urllib.request.Request(target, headers={"User-Agent": "Mozilla/5.0 (a check of links)"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT):
            return None
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        return f"can't be opened: {error}"


def faults(found: list[Link], *, fetch: bool) -> Iterator[tuple[Link, str]]:
    """The bad ones among links, each with what is wrong."""
    for link in found:
        fault = fault_of(link)
        if fault is None and fetch and is_outside(link):
            fault = fetched(link.target)
        if fault is not None:
            yield link, fault


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fetch", action="store_true", help="open the outside links")
    arguments = parser.parse_args()
    found = [link for page in pages() for link in links(page)]
    for link in filter(is_outside, found):
        print(f"{link.page.relative_to(ROOT)}: {link.target}")
    bad = list(faults(found, fetch=arguments.fetch))
    for link, fault in bad:
        print(f"error: {link.page.relative_to(ROOT)}: {link.target} {fault}", file=sys.stderr)
    print(f"{len(found)} links, {len(bad)} of them bad{'' if arguments.fetch else '; outside ones were not opened'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
