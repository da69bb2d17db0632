"""Reading originals and writing results. Pixels are BGR; EXIF orientation is applied once, on reading."""

from focusrail.store.image_decoding import Image, decode
from focusrail.store.image_encoding import JPEG_QUALITY, Plane, encode_jpeg, write_index, write_png, write_tiff
from focusrail.store.image_metadata import Metadata, read_metadata

__all__ = [
    "JPEG_QUALITY", "Image", "Metadata", "Plane", "decode", "encode_jpeg", "read_metadata", "write_index", "write_png",
    "write_tiff",
]  # fmt: skip
