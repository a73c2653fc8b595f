"""Shards: written from a raw tree, described, verified."""
