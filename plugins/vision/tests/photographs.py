"""Writes photographs.parquet: three small JPEGs as image data sets of a hub have them."""
import io

import numpy
import pyarrow
import pyarrow.parquet
from PIL import Image

rows = []
for number, (height, width) in enumerate([(12, 20), (20, 12), (16, 16)]):
    pixels = numpy.zeros((height, width, 3), dtype=numpy.uint8)
    pixels[:, :, number] = 200
    pixels[: height // 2, :, (number + 1) % 3] = 100
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, subsampling=0)
    rows.append({"image": {"bytes": file.getvalue(), "path": f"{number}.jpg"}, "label": number})
image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
table = pyarrow.Table.from_pylist(rows, pyarrow.schema([("image", image), ("label", pyarrow.int64())]))
pyarrow.parquet.write_table(table, "photographs.parquet", row_group_size=2)
