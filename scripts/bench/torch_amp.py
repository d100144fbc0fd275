"""Shows how far PyTorch's autocast is off in the first step of each recording, as
TestRecordedStepsAMP shows it of ours: losses as shares of their sum, the largest
prediction, the gradients as a vector and by norm, against float64. One line for each.
usage: YOLOV5=CLONE python3 torch_amp.py [FOLDER]   (../shared/golden/steps)
The environment's YOLOV5 names a clone of ultralytics/yolov5.
"""
import contextlib
import copy
import json
import os
import pathlib
import struct
import sys
import warnings

warnings.filterwarnings("ignore")
sys.path.insert(0, os.environ["YOLOV5"])
with contextlib.redirect_stdout(sys.stderr):  # YOLOv5 talks as it is imported
    import numpy
    import torch
    from models.yolo import Model
    from utils.loss import ComputeLoss

TYPES = {"F64": numpy.float64, "F32": numpy.float32, "U8": numpy.uint8, "I64": numpy.int64, "I32": numpy.int32}
SCALE = 1024.0  # of the loss in float16, as our test has it


def read(path):
    """Returns a recording's tensors and what was run."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    case = json.loads(header.pop("__metadata__")["case"])
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        array = numpy.frombuffer(data[begin:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
        tensors[name] = torch.from_numpy(array.copy())
    return tensors, case


def step(tensors, case, kind):
    """Runs the first step; returns losses of each batch, predictions and gradients."""
    wide = torch.float64 if kind == torch.float64 else torch.float32
    model = Model(copy.deepcopy(case["yaml"]), ch=3, nc=case["nc"])
    state = model.state_dict()
    state.update({name[5:]: t.to(state[name[5:]].dtype) for name, t in tensors.items() if name.startswith("init/") and name[5:] in state})
    model.load_state_dict(state)
    model = model.to(wide).train()
    model.hyp, model.nc = case["hyp_after_scaling"], case["nc"]
    frozen = tuple(str(f) if str(f).endswith(".") else f"model.{f}." for f in case["freeze"])
    for name, parameter in model.named_parameters():
        parameter.requires_grad = not (frozen and name.startswith(frozen))
    for name, module in model.named_modules():
        if frozen and case["frozen_bn"] == "eval" and isinstance(module, torch.nn.BatchNorm2d) and name.startswith(frozen):
            module.eval()
    criterion = ComputeLoss(model)
    scale = SCALE if kind == torch.float16 else 1.0
    narrow = kind in (torch.float16, torch.bfloat16)
    losses, first = [], None
    for i in range(case["accumulate"]):
        images, targets = (tensors[f"images/{i}"].to(wide) / 255), tensors[f"targets/{i}"].to(wide)
        with torch.autocast("cpu", dtype=kind if narrow else torch.bfloat16, enabled=narrow):
            predictions = model(images)
            total, parts = criterion(predictions, targets)
        (total * scale).backward()
        losses.append([float(total), *map(float, parts)])
        if first is None:
            first = torch.cat([p.detach().double().flatten() for p in predictions])
    gradients = torch.cat([p.grad.double().flatten() / scale for p in model.parameters() if p.grad is not None])
    return losses, first, gradients


def deviations(got, want):
    losses = max(max([abs(g[0] / w[0] - 1)] + [abs(a - b) / sum(w[1:]) for a, b in zip(g[1:], w[1:])]) for g, w in zip(got[0], want[0]))
    predictions = float((got[1] - want[1]).abs().max() / want[1].abs().max())
    gradients = float((got[2] - want[2]).norm() / want[2].norm())
    norm = abs(float(got[2].norm() / want[2].norm()) - 1)
    return f"losses {losses:.1e}, predictions {predictions:.1e}, gradients {gradients:.1e}, norm {norm:.1e}"


folder = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2] / "../shared/golden/steps"
for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
    tensors, case = read(path)
    exact = step(tensors, case, torch.float64)
    print(f"{path.stem}: float64 off the recorded loss by {abs(exact[0][0][0] / case['losses'][0][0][0] - 1):.1e}")
    for kind in (torch.float16, torch.bfloat16):
        print(f"    {str(kind)[6:]}: {deviations(step(tensors, case, kind), exact)}", flush=True)
