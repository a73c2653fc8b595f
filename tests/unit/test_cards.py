"""The cards of the weights and of the data: the hub's fields, links that lead somewhere, and the file that ships."""

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors import safe_open

ROOT = Path(__file__).parents[2]
CARDS = ROOT / "docs" / "cards"
WEIGHTS = ROOT / "reactface_jax" / "assets" / "listener.safetensors"


def read(name: str) -> tuple[dict[str, Any], str]:
    """A card's front matter and its text."""
    _, front, text = (CARDS / name).read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), text


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("listener.md", {"language", "license", "library_name", "pipeline_tag", "tags"}),
        (
            "made_conversations.md",
            {
                "language",
                "license",
                "pretty_name",
                "task_categories",
                "size_categories",
                "annotations_creators",
                "tags",
            },
        ),
    ],
)
def test_a_card_has_the_hubs_fields(name: str, fields: set[str]) -> None:
    front, text = read(name)
    assert fields <= set(front)
    assert all(front.values())
    assert front["license"] == "apache-2.0"
    for heading in ("fail", "Licence" if name == "listener.md" else "not", "made" if "made" in name else "trained"):
        assert re.search(rf"^## .*{heading}", text, re.MULTILINE), f"{name} has no section on {heading}"


def test_the_hubs_own_reader_takes_them() -> None:
    hub = pytest.importorskip("huggingface_hub")
    for name, kind in (("listener.md", hub.ModelCard), ("made_conversations.md", hub.DatasetCard)):
        card = kind((CARDS / name).read_text(encoding="utf-8"))
        assert card.data.license == "apache-2.0"
        assert "dyadic-interaction" in card.data.tags


@pytest.mark.parametrize("name", ["listener.md", "made_conversations.md"])
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", read(name)[1])
    assert links
    assert all((CARDS / link).is_file() for link in links if "://" not in link)


def test_the_card_is_of_the_weights_that_ship() -> None:
    _, text = read("listener.md")
    content = WEIGHTS.read_bytes()
    assert f"`{hashlib.sha256(content).hexdigest()}`" in text
    assert f"| bytes | {len(content):,} |" in text
    with safe_open(WEIGHTS, "np") as file:
        count = sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
        sizes = json.loads(file.metadata()["sizes"])
    assert f"| numbers | {count:,}, " in text
    assert f"({sizes['components']} components), {sizes['num_styles']} styles" in text
    assert str(WEIGHTS.relative_to(ROOT)) in text
