"""Model in, labels out: segmentation, consensus, metrics."""
