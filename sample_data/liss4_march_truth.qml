<qgis version="3.28" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1">
      <colorPalette>
        <paletteEntry value="1" color="#2f6db5" label="water" alpha="255" />
        <paletteEntry value="2" color="#5cb8b2" label="wetland" alpha="255" />
        <paletteEntry value="3" color="#1f6b3a" label="forest" alpha="255" />
        <paletteEntry value="4" color="#d8c24a" label="crops" alpha="255" />
        <paletteEntry value="5" color="#c0392b" label="built-up" alpha="255" />
        <paletteEntry value="6" color="#c8b08f" label="bare" alpha="255" />
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>
