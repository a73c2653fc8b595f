"""The links of README and docs lead somewhere; what leads nowhere is found."""

import http.server
import importlib.util
import threading
from pathlib import Path

import pytest

_PATH = Path(__file__).parents[2] / "docs" / "check_links.py"
_SPEC = importlib.util.spec_from_file_location("check_links", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
check_links = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(check_links)


def test_the_links_of_the_documentation_are_good() -> None:
    found = [link for page in check_links.pages() for link in check_links.links(page)]
    assert len(found) > 100
    assert list(check_links.faults(found, fetch=False)) == []


def test_bad_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("# Hands & feet, `too`\n")
    (tmp_path / "README.md").write_text(
        "[a](docs/other.md) [b](docs/other.md#hands--feet-too) [c](docs/missing.md) [d](docs/other.md#hands)\n"
        "[e](http://example.org) [f](https://example.org/a) <https://localhost/b> `[g](code.md)`\n"
        "```\n[h](code.md)\n```\n"
    )
    found = [link for page in check_links.pages(tmp_path) for link in check_links.links(page)]
    faults = {link.target: fault for link, fault in check_links.faults(found, fetch=False)}
    assert faults == {
        "docs/missing.md": "leads to a file that is not there",
        "docs/other.md#hands": "leads to a heading that other.md does not have",
        "http://example.org": "is no whole https address",
        "https://localhost/b": "is no whole https address",
    }


@pytest.fixture
def server():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/there" else 404)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_outside_links_are_opened_if_asked(server: str) -> None:
    assert check_links.fetched(f"{server}/there") is None
    assert "404" in check_links.fetched(f"{server}/gone")
