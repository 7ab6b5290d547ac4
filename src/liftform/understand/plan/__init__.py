"""Floor plans: what a drawn sheet means; strokes and text in, walls, openings, rooms and scale in metres out."""
