"""Capture -> Capture: what can be learned from the pictures before any geometry is made."""
