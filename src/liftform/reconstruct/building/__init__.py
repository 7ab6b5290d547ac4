"""Parts of a building made from its plan: walls, joinery, floors, stairs, railings, and what they look like."""
