"""Radiance fields from a set of posed pictures: Capture -> RadianceField, on the CPU by numba (extra ``fields``)."""
