"""One self-contained HTML page from a run folder, and its pictures as files."""
