"""What QGIS shows of a raster or vector layer: run by QGIS's own Python, not by the tests'.

    python3 qgis_render.py LAYER WIDTH HEIGHT PICTURE

Writes a picture of the layer's extent as QGIS draws it and prints the classes of its style as JSON.
"""

import json
import sys

from qgis.core import (
    QgsApplication,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize

application = QgsApplication([], False)
application.initQgis()
path, width, height, picture = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
raster = path.endswith(".tif")
layer = QgsRasterLayer(path, "map") if raster else QgsVectorLayer(path, "map", "ogr")
if not layer.isValid():
    sys.exit(f"QGIS cannot open {path}")
settings = QgsMapSettings()
settings.setLayers([layer])
settings.setExtent(layer.extent())
settings.setOutputSize(QSize(width, height))
settings.setDestinationCrs(layer.crs())
settings.setFlag(QgsMapSettings.Antialiasing, False)
job = QgsMapRendererParallelJob(settings)
job.start()
job.waitForFinished()
job.renderedImage().save(picture)
if raster:
    classes = [[int(found.value), found.color.name(), found.label] for found in layer.renderer().classes()]
else:
    classes = [
        [int(found.value()), found.symbol().color().name(), found.label()] for found in layer.renderer().categories()
    ]
print(json.dumps({"classes": classes, "features": None if raster else layer.featureCount()}))
