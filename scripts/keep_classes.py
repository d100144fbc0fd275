"""Holds the rows of a model's old classes against those of the model before keep-classes.

usage: keep_classes.py BEFORE.onnx AFTER.onnx FOLDER, exports of one size and their photographs.
In ONNX Runtime they must be equal to the bit, in OpenCV's DNN module within a tenth of a pixel
and 1e-4 of probability: it sums in an order that depends on what else there is to compute.
"""

import pathlib
import sys

import cv2
import numpy as np
import onnxruntime

before, after, folder = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
sessions = [onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]) for path in (before, after)]
nets = [cv2.dnn.readNetFromONNX(path) for path in (before, after)]
side = sessions[0].get_inputs()[0].shape[-1]


def blob(path):
    """A photograph letterboxed to the models' size, RGB planes in 0…1."""
    image = cv2.imread(str(path))
    scale = side / max(image.shape[:2])
    image = cv2.resize(image, (round(image.shape[1] * scale), round(image.shape[0] * scale)))
    canvas = np.full((side, side, 3), 114, np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return np.ascontiguousarray(canvas[:, :, ::-1].transpose(2, 0, 1)[None], np.float32) / 255


def opencv(net, image):
    net.setInput(image)
    return net.forward()


pictures = sorted(pathlib.Path(folder).glob("*.jpg"))
different, pixels, shares = 0, 0.0, 0.0
for i, path in enumerate(pictures):
    image = blob(path)
    old, new = (s.run(None, {s.get_inputs()[0].name: image})[0] for s in sessions)
    rows, columns = old.shape[1:]
    different += not np.array_equal(old.view(np.uint32), np.ascontiguousarray(new[:, :rows, :columns]).view(np.uint32))
    different += bool(new[:, :rows, columns:].any() or new[:, rows:, 5:columns].any())
    if i < 16:
        gap = abs(opencv(nets[1], image)[:, :rows, :columns] - opencv(nets[0], image))
        pixels, shares = max(pixels, gap[..., :4].max()), max(shares, gap[..., 4:].max())
print(f"{after}: ONNX Runtime {onnxruntime.__version__}: old rows of {len(pictures)} pictures, {different} with a bit that differs")
print(f"{after}: OpenCV {cv2.__version__}: old rows within {pixels:.2g} pixels and {shares:.2g} of probability")
sys.exit(different > 0 or pixels > 0.1 or shares > 1e-4 or not pictures)
