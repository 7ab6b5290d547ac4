"""Pictures as files and pixels: decoding, EXIF, colour, resizing; below the stages, which share it."""
