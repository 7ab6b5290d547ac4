"""Mesh -> Mesh: repair, simplify, unwrap, bake."""
