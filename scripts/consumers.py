"""What check-consumers.sh runs: each consumer on each export, compared with yolofreeze detect."""
import json, os, pathlib, shutil, subprocess, sys

import cv2, numpy, onnxruntime

SIDE, CONF, IOU = 640, 0.25, 0.45
work, kind = pathlib.Path(sys.argv[1]), sys.argv[2]
pictures = {p.name: cv2.imread(str(p)) for p in sorted((work / "pictures").iterdir())}


def boxed(picture):
    """The picture in the middle of a grey square, RGB; scale and margins."""
    height, width = picture.shape[:2]
    scale = min(SIDE / height, SIDE / width)
    w, h = round(width * scale), round(height * scale)
    left, top = round((SIDE - w) / 2 - 0.1), round((SIDE - h) / 2 - 0.1)
    square = numpy.full((SIDE, SIDE, 3), 114, numpy.uint8)
    square[top:top + h, left:left + w] = cv2.resize(picture, (w, h), interpolation=cv2.INTER_LINEAR) if scale != 1 else picture
    return square[..., ::-1], scale, (SIDE - width * scale) / 2, (SIDE - height * scale) / 2


def input_of(form, square):
    if form == "uint8":
        return numpy.ascontiguousarray(square[None])
    x = numpy.ascontiguousarray(square.transpose(2, 0, 1)[None].astype(numpy.float32) / 255)
    return x.astype(numpy.float16) if form == "half" else x


def choose(rows):
    """Rows of centre, size, objectness and classes to (class, confidence, corners)."""
    rows = rows[0].astype(numpy.float32)
    rows = rows[rows[:, 4] > CONF]
    scores = rows[:, 5:] * rows[:, 4:5]
    classes, best = scores.argmax(1), scores.max(1)
    corners = numpy.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], 1)
    left_top_size = numpy.concatenate([corners[:, :2], rows[:, 2:4]], 1)
    kept = cv2.dnn.NMSBoxesBatched(left_top_size.tolist(), best.tolist(), classes.tolist(), CONF, IOU) if len(rows) else []
    return [(int(classes[i]), float(best[i]), corners[i]) for i in kept]


def chosen(out):
    return [(int(out["classes"][0, i]), float(out["scores"][0, i]), out["boxes"][0, i]) for i in range(int(out["count"][0, 0]))]


def compare(consumer, form, found):
    """Says how far found is from yolofreeze's detections; False if too far."""
    want = {pathlib.Path(p["path"]).name: [(o["class"], o["conf"], numpy.array(o["xyxy"])) for o in p["detections"]]
            for p in json.loads((work / f"ours-{form}" / "detections.json").read_text())}
    pixels = confidence = 0.0
    missing = count = 0
    for name in pictures:
        for here, there in ((want[name], found[name]), (found[name], want[name])):
            for cls, conf, box in here:
                near = min(((abs(box - b).max(), abs(conf - c)) for k, c, b in there if k == cls), default=(1e9, 1e9))
                count += here is want[name]
                if near[0] > 1 or near[1] > 0.01:
                    if conf > CONF + 0.01:
                        missing += 1
                    continue
                pixels, confidence = max(pixels, near[0]), max(confidence, near[1])
    verdict = f"{missing} of both sides' differ, the others are" if missing else "the same,"
    print(f"{consumer}, {form}: {count} boxes, {verdict} within {pixels:.3f} pixels, {confidence:.5f}")
    if missing and form == "int8" and consumer.startswith("OpenCV"):
        # Integers that are rounded otherwise go on to the next layer: ONNX Runtime without
        # its optimizations is as far from itself as OpenCV is from it.
        print("  (known, and not counted: OpenCV rounds otherwise between layers)")
        return True
    return not missing


def on_pictures(form, run):
    """Detections by picture, from run, which gives rows or chosen boxes for an input."""
    found = {}
    for name, picture in pictures.items():
        square, scale, left, top = boxed(picture)
        height, width = picture.shape[:2]
        found[name] = [(cls, conf, ((numpy.asarray(box).reshape(2, 2) - (left, top)) / scale).clip(0, (width, height)).reshape(4))
                       for cls, conf, box in run(input_of(form, square))]
    return found


def in_python(form):
    session = onnxruntime.InferenceSession(str(work / f"{form}.onnx"), providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]

    def run(x):
        out = dict(zip(names, session.run(None, {"images": x})))
        return chosen(out) if "count" in out else choose(out["output0"])
    return on_pictures(form, run)


def in_node(form):
    types = {"boxes": numpy.float32, "scores": numpy.float32, "classes": numpy.int64, "count": numpy.int64, "output0": numpy.float32}

    def run(x):
        x.tofile(work / "input.bin")
        subprocess.run(["node", str(work / "run.js"), str(work / f"{form}.onnx"), str(work / "input.bin"),
                        str(x.dtype), ",".join(map(str, x.shape)), str(work / "node")], check=True)
        out = {p.suffix[1:]: numpy.fromfile(p, types[p.suffix[1:]]) for p in work.glob("node.*")}
        for p in work.glob("node.*"):
            p.unlink()
        if "count" in out:
            return chosen({"boxes": out["boxes"].reshape(1, -1, 4), **{k: out[k].reshape(1, -1) for k in ("scores", "classes", "count")}})
        return choose(out["output0"].reshape(1, 25200, -1))
    return on_pictures(form, run)


def in_opencv(form):
    net = cv2.dnn.readNetFromONNX(str(work / f"{form}.onnx"))

    def run(x):
        net.setInput(x)
        return choose(net.forward())
    return on_pictures(form, run)


def yolov5(program, *flags):
    """Runs one of YOLOv5's programs and gives what it says; fonts it would fetch are matplotlib's."""
    import matplotlib
    if not (work / "Arial.ttf").exists():
        shutil.copy(pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), work / "Arial.ttf")
    # Its val.py asks numpy for trapz, which numpy 2.4 calls trapezoid.
    start = f"import numpy, runpy, sys; numpy.trapz = numpy.trapezoid; sys.argv[0] = '{program}'; runpy.run_module('yolov5.{program}', run_name='__main__')"
    ran = subprocess.run([sys.executable, "-c", start, *map(str, flags)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=work)
    if ran.returncode:
        raise RuntimeError(f"{program}.py: {ran.stdout.strip().splitlines()[-1]}")
    return ran.stdout


def in_programs(form):
    """Our checkpoint in val.py and train.py, as if it were theirs."""
    said = yolov5("val", "--weights", work / f"{form}.pt", "--data", work / "set" / "data.yaml", "--imgsz", 320, "--batch-size", 8, "--workers", 0, "--project", work, "--name", "val")
    theirs = float(next(line.split()[5] for line in said.splitlines() if line.split()[:1] == ["all"]))
    ours = json.loads((work / "ours-val.json").read_text())["map50"]
    late = "time limit" in said  # of its suppression, behind which it leaves pictures out
    print(f"val.py of yolov5 7.0.14, {form}: mAP50 {theirs:.3f}, ours {ours:.3f}" + (" (its suppression ran out of time: not judged)" if late else ""))
    said = yolov5("train", "--weights", work / f"{form}.pt", "--data", work / "set" / "data.yaml", "--imgsz", 64, "--epochs", 1, "--batch-size", 16,
                  "--workers", 0, "--noplots", "--device", "cpu", "--project", work, "--name", "train")
    moved = next(line for line in said.splitlines() if line.startswith("Transferred ")).split()[1]
    print(f"train.py of yolov5 7.0.14, {form}: {moved} items transferred, {(work / 'train' / 'results.csv').stat().st_size} bytes of results.csv")
    return (late or abs(theirs - ours) < 0.01) and len(set(moved.split("/"))) == 1


def in_yolov5(form):
    weights = next(p for p in (work / f"{form}.onnx", work / f"{form}.pt") if p.exists())
    subprocess.run([sys.executable, "-m", "yolov5.detect", "--weights", str(weights), "--source", str(work / "pictures"),
                    "--imgsz", str(SIDE), "--nosave", "--save-txt", "--save-conf", "--project", str(work), "--name", f"yolov5-{form}",
                    *(["--half"] if form == "half" else [])],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=work)
    found = {}
    for name, picture in pictures.items():
        size, found[name] = numpy.array(picture.shape[1::-1]), []
        labels = work / f"yolov5-{form}" / "labels" / f"{pathlib.Path(name).stem}.txt"
        for line in labels.read_text().splitlines() if labels.exists() else []:
            cls, *numbers, conf = map(float, line.split())
            centre, half = numpy.array(numbers[:2]) * size, numpy.array(numbers[2:]) * size / 2
            found[name].append((int(cls), conf, numpy.concatenate([centre - half, centre + half])))
    return found


def in_model(form):
    """Back in PyTorch: the state dict, strictly, in the published layout that it fits."""
    import torch, yolov5
    from yolov5.models.yolo import Model
    state = torch.load(work / f"{form}.state_dict.pt", weights_only=True)
    classes = next(t.shape[0] // 3 - 5 for name, t in state.items() if name.endswith(".m.0.bias"))
    for variant in "nsmlx":
        model = Model(pathlib.Path(yolov5.__file__).parent / "models" / f"yolov5{variant}.yaml", nc=classes)
        if all(name in state and state[name].shape == t.shape for name, t in model.state_dict().items()):
            break
    model.load_state_dict(state, strict=True)
    model.eval()

    def run(x):
        with torch.no_grad():
            return choose(model(torch.from_numpy(x))[0].numpy())
    return on_pictures(form, run)


def in_ultralytics(form):
    import torch
    from ultralytics.nn.autobackend import AutoBackend
    model = AutoBackend(str(work / f"{form}.onnx"), device=torch.device("cpu"), verbose=False)

    def run(x):
        out = model(torch.from_numpy(x))
        return choose(numpy.asarray(out[0] if isinstance(out, (list, tuple)) else out).reshape(1, 25200, -1))
    return on_pictures(form, run)


consumers = [(f"ONNX Runtime {onnxruntime.__version__} in Python", in_python, "fp32 dynamic half nms uint8 int8"),
             (f"OpenCV {cv2.__version__} DNN", in_opencv, "fp32 dynamic uint8 int8")]
if shutil.which("node"):
    package = json.loads(pathlib.Path(os.environ["CONSUMER_NODE"], "node_modules", "onnxruntime-node", "package.json").read_text())
    consumers.append((f"onnxruntime-node {package['version']}", in_node, "fp32 dynamic nms uint8 int8"))
if kind == "torch":
    import ultralytics
    consumers += [("detect.py of yolov5 7.0.14", in_yolov5, "fp32 dynamic half int8 checkpoint"),
                  ("Model of yolov5 7.0.14", in_model, "state"),
                  (f"AutoBackend of ultralytics {ultralytics.__version__}", in_ultralytics, "fp32 dynamic int8")]
bad = 0
for consumer, run, forms in consumers:
    for form in forms.split():
        try:
            bad += not compare(consumer, form, run(form))
        except Exception as error:  # a consumer that refuses a form is a finding, too
            bad += 1
            print(f"{consumer}, {form}: {type(error).__name__}: {str(error).strip().splitlines()[0]}")
if kind == "torch":
    try:
        bad += not in_programs("checkpoint")
    except Exception as error:
        bad += 1
        print(f"programs of yolov5 7.0.14: {error}")
sys.exit(f"check-consumers: {bad} of these differ" if bad else 0)
