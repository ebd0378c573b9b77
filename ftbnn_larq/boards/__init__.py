"""How a board is reached, what it is, and what is brought there and taken away."""
