"""Methods: objects with phases that training runs without knowing them by name."""
