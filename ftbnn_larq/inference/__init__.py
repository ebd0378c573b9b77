"""Inference: from a run or a flatbuffer to scores."""
