"""Classes of pictures, run by the Python beside it. Copy this into a program of yours: `deploy` writes it anew."""

import sys

import numpy as np
from PIL import Image

from ftbnn_runtime import Classifier

classify = Classifier("FOLDER" + "/model.tflite", num_threads=2)
for path in sys.argv[1:]:
    # In place of this line take a frame of your camera: uint8, (height, width, 3), RGB.
    frame = np.asarray(Image.open(path).convert("RGB"))
    for label, probability in classify(frame)[:3]:
        print(f"{label}: {probability:.1%}")
