"""Drawings as files: pages of strokes, text and pictures from PDF, DXF and images; below the stages, which share it."""
