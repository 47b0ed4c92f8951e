"""A LISS-IV product with known truth: a landscape that is a pure function of seed, position and date."""
