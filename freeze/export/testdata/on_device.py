"""Steps a folder of on-device training by ONNX Runtime's own API (onnxruntime-training 1.19.2).

on_device.py FOLDER BATCH.safetensors STEPS LR: prints the losses of an evaluation
step and of each training step as JSON, then saves the checkpoint over the folder's
and the network for inference as FOLDER/inference.onnx.
"""
import importlib.util
import json
import struct
import sys
import types

import numpy as np

# On import, the package onnxruntime.training asks for PyTorch, which its on-device API
# has no use for: an empty package in its place leads to that API without.
package = types.ModuleType("onnxruntime.training")
package.__path__ = [importlib.util.find_spec("onnxruntime").submodule_search_locations[0] + "/training"]
sys.modules[package.__name__] = package
from onnxruntime.training.api import CheckpointState, Module, Optimizer

TYPES = {"U8": np.uint8, "F32": np.float32, "I64": np.int64}


def tensors(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    out = {}
    for name, t in header.items():
        begin, end = t["data_offsets"]
        out[name] = np.frombuffer(data[8 + size + begin : 8 + size + end], TYPES[t["dtype"]]).reshape(t["shape"])
    return out


folder, batch, steps, lr = sys.argv[1], tensors(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
state = CheckpointState.load_checkpoint(folder + "/checkpoint")
module = Module(folder + "/training_model.onnx", state, folder + "/eval_model.onnx")
optimizer = Optimizer(folder + "/optimizer_model.onnx", module)
optimizer.set_learning_rate(lr)
inputs = [batch[name] for name in module.input_names()]


def losses(values):
    return [float(v) for v in values[:4]]


module.eval()
report = {"eval": losses(module(*inputs)), "steps": []}
module.train()
for _ in range(steps):
    report["steps"].append(losses(module(*inputs)))
    optimizer.step()
    module.lazy_reset_grad()
CheckpointState.save_checkpoint(state, folder + "/checkpoint")
module.eval()
module.export_model_for_inferencing(folder + "/inference.onnx", ["output0"])
print(json.dumps(report))
