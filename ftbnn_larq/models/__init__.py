"""Networks: configuration, layers, Keras model files and weights files."""
