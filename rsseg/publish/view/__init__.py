"""A run's maps in a browser: tiles from the rasters in pixel space, values at a place, names that can be changed."""
