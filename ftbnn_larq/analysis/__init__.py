"""Analysis of built models: operation counts, accuracy and linearity."""
