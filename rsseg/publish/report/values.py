"""Values of configurations and provenance in words."""

from typing import Any


def said(value: Any) -> str:
    """A value for a reader: no quotes, no braces."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(said(item) for item in value) or "none"
    if isinstance(value, dict):
        return "; ".join(f"{key} {said(item)}" for key, item in value.items()) or "none"
    return str(value)
