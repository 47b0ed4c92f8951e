"""Scores of label maps from one contingency table."""
