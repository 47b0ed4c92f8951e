"""How shares of 0 to 1, such as confidences and entropies, are stored in a byte."""

SHARE_STEPS = 254
"""What a share of 1 is stored as."""

NO_SHARE = 255
"""What is stored where there is no data."""
