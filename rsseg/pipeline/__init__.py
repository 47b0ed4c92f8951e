"""Stages composed from the rooms, pipelines in YAML, and their cache."""
