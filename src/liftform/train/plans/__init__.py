"""Floor plans drawn for training: layouts, furniture, drawing styles, damage; every pixel's class is known."""
