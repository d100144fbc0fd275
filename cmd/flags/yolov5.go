package flags

import "slices"

// YOLOv5Flag is a flag of YOLOv5's train.py, val.py, detect.py or export.py (v5.0 to
// v7.0 and later), and what becomes of it here. Those of the same name and meaning have
// nothing but the name.
type YOLOv5Flag struct {
	Name  string
	Takes string // "" no value, "1" one, "?" one or none; of flags that are not here

	Accepted bool     // it has no effect here, which text says why
	Instead  []string // what does the same here
	Harmless string   // the value with which it asks for nothing that is not there
	Text     string   // why it has no effect, or is not there
	Hint     string   // what helps instead
}

const (
	ownBN    = "with one device there is nothing to synchronise, and of several each takes BatchNorm's statistics from its own batch"
	launched = "a launcher such as mpiexec tells each rank its number"
	noServer = "runs are not sent to Weights & Biases; MLflow hears of them, and event files are written"
)

// YOLOv5Flags are all of them, by command.
var YOLOv5Flags = map[string][]YOLOv5Flag{
	"train": slices.Concat(
		sameFlags("weights", "data", "hyp", "epochs", "batch-size", "imgsz", "img", "img-size", "rect", "resume", "nosave", "noval", "noplots",
			"noautoanchor", "cache", "image-weights", "device", "multi-scale", "single-cls", "optimizer", "workers", "project", "name", "exist-ok",
			"quad", "cos-lr", "label-smoothing", "patience", "freeze", "save-period", "seed"),
		[]YOLOv5Flag{
			{Name: "cfg", Takes: "1", Text: "the layers are those of the weights", Hint: "yolofreeze convert --cfg names the layers of a bare state dict"},
			{Name: "evolve", Takes: "?", Text: "hyperparameters are not searched for", Hint: "yolofreeze compare puts runs with several --hyp side by side"},
			{Name: "evolve_population", Takes: "1", Text: "hyperparameters are not searched for", Hint: "yolofreeze compare puts runs with several --hyp side by side"},
			{Name: "resume_evolve", Takes: "?", Text: "hyperparameters are not searched for", Hint: "yolofreeze compare puts runs with several --hyp side by side"},
			{Name: "bucket", Takes: "1", Text: "nothing is sent to storage", Hint: "copy the run's folder"},
			{Name: "adam", Instead: []string{"--optimizer", "Adam"}},
			{Name: "notest", Instead: []string{"--noval"}},
			{Name: "cache-images", Instead: []string{"--cache=ram"}},
			{Name: "linear-lr", Accepted: true, Text: "learning rates fall in a line unless --cos-lr is given"},
			{Name: "sync-bn", Accepted: true, Text: ownBN},
			{Name: "local_rank", Takes: "1", Accepted: true, Text: launched},
			{Name: "entity", Takes: "1", Accepted: true, Text: noServer},
			{Name: "upload_dataset", Takes: "?", Accepted: true, Text: noServer},
			{Name: "bbox_interval", Takes: "1", Accepted: true, Text: noServer},
			{Name: "artifact_alias", Takes: "1", Accepted: true, Text: noServer},
			{Name: "log-imgs", Takes: "1", Accepted: true, Text: noServer},
		}),
	"val": slices.Concat(
		sameFlags("weights", "data", "batch-size", "imgsz", "img", "img-size", "conf-thres", "iou-thres", "max-det", "task", "device", "workers",
			"single-cls", "verbose", "save-txt", "save-conf", "save-json", "project", "name", "exist-ok", "half", "augment", "save-hybrid"),
		[]YOLOv5Flag{
			{Name: "dnn", Accepted: true, Text: "ONNX Runtime runs every model"},
		}),
	"detect": slices.Concat(
		sameFlags("weights", "source", "imgsz", "img", "img-size", "conf-thres", "iou-thres", "max-det", "device", "save-txt", "save-csv", "save-conf",
			"save-crop", "nosave", "classes", "agnostic-nms", "project", "name", "exist-ok", "line-thickness", "hide-labels", "hide-conf", "half", "augment", "save-format"),
		[]YOLOv5Flag{
			{Name: "visualize", Text: "feature maps are not drawn", Hint: "yolofreeze inspect --graph names every value of an .onnx file"},
			{Name: "data", Takes: "1", Accepted: true, Text: "the weights know the names of their classes"},
			{Name: "view-img", Accepted: true, Text: "no window is opened, pictures are saved"},
			{Name: "update", Accepted: true, Text: "weights are read as they are"},
			{Name: "dnn", Accepted: true, Text: "ONNX Runtime runs every model"},
			{Name: "vid-stride", Takes: "1", Accepted: true, Text: "videos are not read"},
		}),
	"export": slices.Concat(
		sameFlags("weights", "data", "imgsz", "img", "img-size", "batch-size", "half", "int8", "dynamic", "opset", "nms", "agnostic-nms", "topk-all",
			"iou-thres", "conf-thres", "include"),
		[]YOLOv5Flag{
			{Name: "train", Text: "exports are for detection", Hint: "--format ort-training writes graphs that train"},
			{Name: "keras", Text: "TensorFlow's formats are not written", Hint: "--include onnx"},
			{Name: "per-tensor", Text: "--int8 has a scale for each channel"},
			{Name: "topk-per-class", Takes: "1", Text: "--nms bounds the detections of a picture, not of a class", Hint: "--max-det bounds them"},
			{Name: "mlmodel", Text: "CoreML's formats are not written", Hint: "--include onnx"},
			{Name: "device", Takes: "1", Accepted: true, Text: "to write a file needs no device"},
			{Name: "simplify", Accepted: true, Text: "graphs are written as simple as they are"},
			{Name: "inplace", Accepted: true, Text: "the graphs are the same"},
			{Name: "optimize", Accepted: true, Text: "it is for TorchScript"},
			{Name: "cache", Takes: "1", Accepted: true, Text: "it is for TensorRT"},
			{Name: "workspace", Takes: "1", Accepted: true, Text: "it is for TensorRT"},
			{Name: "verbose", Accepted: true, Text: "it is for TensorRT"},
		}),
}

// sameFlags are those that mean here what they mean there.
func sameFlags(names ...string) []YOLOv5Flag {
	list := make([]YOLOv5Flag, len(names))
	for i, name := range names {
		list[i].Name = name
	}
	return list
}

// yolov5Names are the names of YOLOv5's flags of a command.
func yolov5Names(command string) (names []string) {
	for _, y := range YOLOv5Flags[command] {
		names = append(names, y.Name)
	}
	return names
}

// foreign finds a flag of YOLOv5, nil where it has none of that name.
func foreign(command, name string) *YOLOv5Flag {
	list := YOLOv5Flags[command]
	if i := slices.IndexFunc(list, func(y YOLOv5Flag) bool { return y.Name == name }); i >= 0 {
		return &list[i]
	}
	return nil
}
