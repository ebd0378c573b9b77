"""Keras model in, flatbuffer and proof out."""
