"""Measuring results against truth: metrics, protocols, tables."""
