"""One file a product family: recognise a product on disk and say where its bands and constants are."""
