"""Recipe and data in, a run folder out."""
