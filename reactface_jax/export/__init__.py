"""Reactions for avatars: Live Link Face, ARKit weights as JSON, glTF with morph targets, BVH of the head."""
