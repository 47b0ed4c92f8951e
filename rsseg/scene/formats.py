"""The choices about files that users can make, by name; nothing heavy is imported here."""

from typing import Literal

Compression = Literal["deflate", "zstd", "lzw", "none"]

StoredType = Literal["uint16", "float32"]
"""How reflectance and radiance are stored: scaled counts, or the values themselves."""

OverviewResampling = Literal["MODE", "AVERAGE", "NEAREST"]
