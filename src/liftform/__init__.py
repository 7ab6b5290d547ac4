"""liftform: one picture in, a clean, textured, checked 3D asset out."""

__version__ = "0.1.0"
