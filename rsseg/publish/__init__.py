"""Label maps in, files for a GIS and for eyes out."""
