"""Writes real photographs as label tools' libraries do, and compares what is read of them.

usage: labels.py make DATA OUT     DATA has annotations/instances_*.json and images/*
       labels.py compare DATA READ NAME SLACK
           READ is a YOLO data set made of an export; boxes may be SLACK pixels off
"""
import json, os, pathlib, shutil, subprocess, sys, zipfile

FEW = 12  # pictures of each split


def subset(data):
    """What is written: split -> (images, annotations), and the categories."""
    splits = {}
    for split in ("train", "val"):
        doc = json.load(open(data / "annotations" / f"instances_{split}2017.json"))
        images = sorted(doc["images"], key=lambda i: i["file_name"])[:FEW]
        ids = {i["id"] for i in images}
        notes = [a for a in doc["annotations"] if a["image_id"] in ids and not a.get("iscrowd")]
        splits[split] = images, notes
        categories = doc["categories"]
    return splits, categories


def coco(data, out):
    """A small COCO data set to begin with."""
    splits, categories = subset(data)
    (out / "annotations").mkdir(parents=True)
    for split, (images, notes) in splits.items():
        (out / "images" / split).mkdir(parents=True)
        for image in images:
            shutil.copy(data / "images" / f"{split}2017" / pathlib.Path(image["file_name"]).name, out / "images" / split)
        notes = [dict(a, segmentation=[], iscrowd=0) for a in notes]
        json.dump({"images": images, "annotations": notes, "categories": categories}, open(out / "annotations" / f"instances_{split}.json", "w"))


def make_datumaro(source, out):
    import datumaro

    for kind in ("datumaro", "yolo", "yolo_ultralytics", "voc", "coco"):
        dataset = datumaro.Dataset.import_from(str(source), "coco")
        target = out / f"datumaro-{kind}"
        dataset.export(str(target), kind, save_media=True)


def make_supervision(source, out):
    import supervision as sv

    for split in ("train", "val"):
        d = sv.DetectionDataset.from_coco(str(source / "images" / split), str(source / "annotations" / f"instances_{split}.json"))
        yolo = out / "supervision-yolo"
        d.as_yolo(str(yolo / split / "images"), str(yolo / split / "labels"), str(yolo / "data.yaml"))
        voc = out / "supervision-voc" / split
        d.as_pascal_voc(str(voc / "images"), str(voc / "annotations"))
        d.as_coco(str(out / "supervision-coco" / split), str(out / "supervision-coco" / split / "_annotations.coco.json"))


def make_label_studio(source, out):
    """Label Studio's own converter, of one project with the pictures of both splits."""
    project = out / "label-studio"
    project.mkdir()
    tool = os.path.join(os.path.dirname(sys.executable), "label-studio-converter")
    tasks, names = [], None
    for split in ("train", "val"):
        doc = json.load(open(source / "annotations" / f"instances_{split}.json"))
        names = [c["name"] for c in sorted(doc["categories"], key=lambda c: c["id"])]
        work = project / f"{split}.json"
        subprocess.run([tool, "import", "coco", "-i", str(source / "annotations" / f"instances_{split}.json"), "-o", str(work), "--out-type", "annotations",
                        "--image-root-url", "/data/local-files/?d=images"], check=True, stdout=subprocess.DEVNULL)
        tasks += json.loads(work.read_text())
        work.unlink()
        (project / f"{split}.label_config.xml").unlink(missing_ok=True)
    for i, t in enumerate(tasks):
        t["id"] = i + 1
        for a in t["annotations"]:
            a.setdefault("id", i + 1)
            a["completed_by"] = 1
    (project / "tasks.json").write_text(json.dumps(tasks))
    (project / "images").mkdir()
    for split in ("train", "val"):
        for f in (source / "images" / split).iterdir():
            shutil.copy(f, project / "images")
    config = out / "config.xml"
    labels = "".join(f'<Label value="{n}"/>' for n in names)
    config.write_text(f'<View><Image name="image" value="$image"/><RectangleLabels name="label_rectangles" toName="image">{labels}</RectangleLabels></View>')
    for kind in ("COCO", "YOLO", "VOC"):
        target = out / f"label-studio-{kind.lower()}"
        subprocess.run([tool, "export", "-i", str(project / "tasks.json"), "-c", str(config), "-o", str(target), "-f", kind, "--heartex-format",
                        "--image-dir", str(target / "images")], check=True, env=dict(os.environ, LOCAL_FILES_DOCUMENT_ROOT=str(project), LOCAL_FILES_SERVING_ENABLED="true"), stdout=subprocess.DEVNULL)
        (target / "images").mkdir(exist_ok=True)
        for f in (project / "images").iterdir():
            shutil.copy(f, target / "images")
    config.unlink()


def zipped(folder):
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as z:
        for f in sorted(folder.rglob("*")):
            if f.is_file():
                z.write(f, f.relative_to(folder))


def boxes(folder):
    """Per picture's stem, (class name, left, top, right, bottom) in pixels, of a YOLO data set."""
    import cv2, yaml

    names = yaml.safe_load(open(folder / "data.yaml"))["names"]
    found = {}
    for picture in sorted((folder / "images").rglob("*.*")):
        h, w = cv2.imread(str(picture)).shape[:2]
        label = pathlib.Path(str(picture).replace("/images/", "/labels/")).with_suffix(".txt")
        rows = [line.split() for line in label.read_text().splitlines()] if label.exists() else []
        found[picture.stem] = sorted((names[int(c)], (x - bw / 2) * w, (y - bh / 2) * h, (x + bw / 2) * w, (y + bh / 2) * h)
                                     for c, (x, y, bw, bh) in ((r[0], map(float, r[1:5])) for r in rows))
    return found


def compare(data, read, name, slack):
    splits, categories = subset(data)
    names = {c["id"]: c["name"] for c in categories}
    want = {pathlib.Path(i["file_name"]).stem: [] for images, _ in splits.values() for i in images}
    stems = {i["id"]: pathlib.Path(i["file_name"]).stem for images, _ in splits.values() for i in images}
    for _, notes in splits.values():
        for a in notes:
            x, y, w, h = a["bbox"]
            want[stems[a["image_id"]]].append((names[a["category_id"]], x, y, x + w, y + h))
    got, wrong, farthest, count = boxes(read), [], 0.0, 0
    if set(got) != set(want):
        wrong.append(f"pictures {sorted(set(got) ^ set(want))[:3]}")
    for stem in set(got) & set(want):
        left = list(got[stem])
        for box in want[stem]:
            near = sorted((max(abs(a - b) for a, b in zip(box[1:], other[1:])), k) for k, other in enumerate(left) if other[0] == box[0])
            if not near or near[0][0] > slack:
                wrong.append(f"{stem}: {box} {near[:1]}")
                continue
            count, farthest = count + 1, max(farthest, near[0][0])
            left.pop(near[0][1])
        wrong += [f"{stem}: more {b}" for b in left]
    print(f"{name}: {len(got)} pictures, {count} boxes, at most {farthest:.2f} pixels off" + (f"; {len(wrong)} differ, the first {wrong[0]}" if wrong else ""))
    return not wrong


if sys.argv[1:2] == ["make"]:
    data, out = map(pathlib.Path, sys.argv[2:4])
    source = out / "coco"
    coco(data, source)
    for make in (make_datumaro, make_supervision, make_label_studio):
        make(source, out)
    for folder in sorted(out.iterdir()):
        zipped(folder)
elif sys.argv[1:2] == ["compare"]:
    sys.exit(not compare(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4], float(sys.argv[5])))
else:
    sys.exit(__doc__)
