"""Pixels in, reflectance out: grids, sensors, radiometry, rasters. Needs no torch."""
