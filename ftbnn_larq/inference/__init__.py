"""A run or a flatbuffer in, scores out."""
