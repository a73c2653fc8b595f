"""Studies with people: pairs of videos, a page that asks, and what the answers prove."""
