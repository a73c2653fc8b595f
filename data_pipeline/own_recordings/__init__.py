"""Recordings of two people, made into a raw tree."""
