"""Pure loss functions, one file a paper."""
