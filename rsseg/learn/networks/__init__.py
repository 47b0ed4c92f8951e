"""Networks, each built from a name and plain arguments that the model file records."""
