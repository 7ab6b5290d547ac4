"""Capture -> asset: from what was understood to geometry."""
