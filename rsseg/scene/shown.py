"""Names and values from foreign files, as a message may show them."""

LONGEST = 80
"""Characters of a foreign text that a message shows."""


def shown(text: object, longest: int = LONGEST) -> str:
    """The text on one line: control characters escaped, so that they cannot drive a terminal, and the end cut off."""
    whole = str(text)
    cut = whole if len(whole) <= longest else whole[: longest - 3] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in cut)
