"""What a network is made of, Keras files and weights files."""
