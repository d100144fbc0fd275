"""Times a training step of YOLOv5 in PyTorch as scripts/bench/step does ours: random
pictures and boxes, forward, loss, gradients, clipping, SGD, moving average. Prints
one JSON line. The environment's YOLOV5 names a clone of ultralytics/yolov5.
Frozen layers keep their BatchNorm statistics, as is the default of yolofreeze.
"""
import argparse
import contextlib
import json
import os
import resource
import statistics
import sys
import time
import warnings

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="yolov5n")
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--imgsz", type=int, default=320)
parser.add_argument("--freeze", type=int, default=0)
parser.add_argument("--steps", type=int, default=12)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--device", default="cpu")
parser.add_argument("--precision", choices=["fp32", "tf32", "amp", "bf16"], default="fp32")
args = parser.parse_args()

warnings.filterwarnings("ignore")
clone = os.environ["YOLOV5"]
sys.path.insert(0, clone)
with contextlib.redirect_stdout(sys.stderr):  # YOLOv5 talks as it is imported
    import torch
    import yaml
    from models.yolo import Model
    from utils.loss import ComputeLoss
    from utils.torch_utils import ModelEMA, smart_optimizer

    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    gpu = args.device.startswith("cuda")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.precision != "fp32"
    torch.backends.cudnn.benchmark = gpu
    device = torch.device(args.device)
    model = Model(f"{clone}/models/{args.model}.yaml", ch=3, nc=20).to(device)

with open(f"{clone}/data/hyps/hyp.scratch-low.yaml") as file:
    model.hyp = dict(yaml.safe_load(file), label_smoothing=0.0)
model.nc = 20
frozen = tuple(f"model.{i}." for i in range(args.freeze))
for name, parameter in model.named_parameters():
    parameter.requires_grad = not name.startswith(frozen) if frozen else True
with contextlib.redirect_stdout(sys.stderr):
    optimizer = smart_optimizer(model, "SGD", 0.001, 0.937, 5e-4)
average, criterion = ModelEMA(model), ComputeLoss(model)
scaler = torch.amp.GradScaler(device.type, enabled=gpu and args.precision == "amp")
low = torch.float16 if gpu and args.precision == "amp" else torch.bfloat16  # PyTorch's CPU kernels train in bfloat16

pictures = torch.randint(0, 256, (args.batch, 3, args.imgsz, args.imgsz), dtype=torch.uint8)
count = 6 * args.batch
targets = torch.cat([torch.arange(count)[:, None] % args.batch, torch.randint(0, 20, (count, 1)),
                     torch.rand(count, 2) * .8 + .1, torch.rand(count, 2) * .3 + .05], 1)


def step():
    model.train()
    for name, layer in model.named_modules():
        if frozen and isinstance(layer, torch.nn.BatchNorm2d) and name.startswith(frozen):
            layer.eval()
    images = pictures.to(device, non_blocking=True).float() / 255
    with torch.autocast(device.type, dtype=low, enabled=args.precision in ("amp", "bf16")):
        loss, _ = criterion(model(images), targets.to(device))
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    average.update(model)
    loss.item()  # waits for the device, as ours does to tell the loss


times = []
for _ in range(args.steps + 2):
    start = time.perf_counter()
    step()
    if gpu:
        torch.cuda.synchronize(device)
    times.append(time.perf_counter() - start)
times = times[2:]  # the first steps allocate
memory = torch.cuda.max_memory_allocated(device) >> 20 if gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
print(json.dumps({"engine": "pytorch " + torch.__version__, "device": args.device, "model": args.model, "batch": args.batch,
                  "imgsz": args.imgsz, "freeze": args.freeze, "precision": args.precision, "threads": args.threads,
                  "median_s": statistics.median(times), "min_s": min(times), "memory_mb": memory}))
