"""Unsupervised land-cover maps from satellite scenes.

The rooms, in the order in which one may import another: ``scene`` (pixels in, reflectance out), ``learn`` (arrays
in, model out), ``label`` (model in, labels out), ``publish`` (label maps in, GIS files out), ``pipeline`` (stages
composing the rooms), ``batch`` (archives) and ``cli``.
"""

__version__ = "0.1.0"
