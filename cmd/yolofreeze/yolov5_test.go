package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
)

// TestYOLOv5Flags: the table of YOLOv5's flags and the commands agree.
func TestYOLOv5Flags(t *testing.T) {
	for _, c := range commands() {
		list := flags.YOLOv5Flags[c.Name]
		for _, y := range list {
			there, same := flags.Find(c.Flags, y.Name) != nil, y.Text == "" && y.Instead == nil
			if there != same {
				t.Errorf("%s --%s: among the flags: %t, the same by the table: %t", c.Name, y.Name, there, same)
			}
			if y.Hint != "" && (y.Accepted || same) {
				t.Errorf("%s --%s has a hint that nobody sees", c.Name, y.Name)
			}
		}
	}
	total := 0
	for _, list := range flags.YOLOv5Flags {
		total += len(list)
	}
	if total < 100 {
		t.Errorf("only %d flags in the table", total)
	}
}

// parsed reads a line up to the command itself, and prints flags as the command would see
// them.
func parsed(line string) (code int, stdout, stderr string) {
	list := commands()
	for _, c := range list {
		c.Action = func(c *cli.Context) error {
			for _, f := range c.Command.Flags {
				name := f.Names()[0]
				if !c.IsSet(name) {
					continue
				}
				value := fmt.Sprint(c.Value(name))
				if _, ok := f.(*cli.StringSliceFlag); ok {
					value = strings.Join(c.StringSlice(name), ",")
				}
				term.Fprintf(c.App.Writer, "%s=%s ", name, value)
			}
			return flags.NeedArgs(c, 0, -1)
		}
	}
	var out, log bytes.Buffer
	code = execute(list, append([]string{"yolofreeze"}, strings.Fields(line)...), strings.NewReader(""), &out, &log)
	return code, out.String(), log.String()
}

// TestYOLOv5Lines: command lines as tutorials have them, with the program's name replaced,
// are understood, or are refused with the reason.
func TestYOLOv5Lines(t *testing.T) {
	t.Chdir(t.TempDir())
	const understood, refused = term.ExitOK, term.ExitUsage
	for _, c := range []struct {
		line string
		code int
		says string // a flag as the command sees it; or what is said
	}{
		{"train --img 640 --batch 16 --epochs 3 --data coco128.yaml --weights yolov5s.pt --cache", understood, "cache=ram"},
		{"train --img 640 --batch 16 --epochs 3 --data coco128.yaml --weights yolov5s.pt", understood, "imgsz=640"},
		{"train --data coco.yaml --epochs 300 --weights yolov5n.pt --batch-size 128", understood, "batch-size=128"},
		{"train --data custom.yaml --weights yolov5m.pt --freeze 10", understood, "freeze=10"},
		{"train --data custom.yaml --weights yolov5m.pt --freeze 0 1 2 3 4 --epochs 5", understood, "freeze=0,1,2,3,4"},
		{"train --batch 48 --weights yolov5m.pt --data voc.yaml --epochs 50 --cache --img 512 --nosave --hyp hyp.VOC.yaml", understood, "nosave=true"},
		{"train --epoch 3 --batch 8 --data d.yaml --weights yolov5s.pt", understood, "epochs=3"},
		{"train --img-size 416 --batch-size 16 --epochs 100 --data ../data.yaml --weights yolov5s.pt --name results --cache", understood, "name=results"},
		{"train --resume", understood, "resume-from="},
		{"train --resume runs/train/exp/weights/last.pt", understood, "resume-from=runs/train/exp/weights/last.pt"},
		{"train --weights yolov5s.pt --data d.yaml --device 0", understood, "device=0"},
		{"train --weights yolov5s.pt --data d.yaml --device cpu --workers 2", understood, "workers=2"},
		{"train --weights yolov5s.pt --data d.yaml --optimizer AdamW --cos-lr --label-smoothing 0.1", understood, "label-smoothing=0.1"},
		{"train --weights yolov5s.pt --data d.yaml --adam", understood, "optimizer=Adam"},
		{"train --weights yolov5s.pt --data d.yaml --single-cls --rect --patience 30", understood, "patience=30"},
		{"train --weights yolov5s.pt --data d.yaml --multi-scale --image-weights --quad", understood, "quad=true"},
		{"train --weights yolov5s.pt --data d.yaml --save-period 10 --exist-ok --project runs/my --name a", understood, "save-period=10"},
		{"train --weights yolov5s.pt --data d.yaml --save_period 5", understood, "save-period=5"},
		{"train --weights yolov5s.pt --data d.yaml --cache disk --noautoanchor --noval --noplots --seed 1", understood, "cache=disk"},
		{"train --weights yolov5s.pt --data d.yaml --cache-images", understood, "cache=ram"},
		{"train --weights yolov5s.pt --data d.yaml --batch-size -1", understood, "batch-size=-1"},
		{"train --weights yolov5s.pt --data d.yaml --sync-bn", understood, "--sync-bn has no effect here: with one device"},
		{"train --weights yolov5s.pt --data d.yaml --local_rank 0", understood, "--local_rank has no effect here"},
		{"train --weights yolov5s.pt --data d.yaml --entity me --bbox_interval 1 --upload_dataset", understood, "--upload_dataset has no effect here"},
		{"train --weights yolov5s.pt --data d.yaml --linear-lr", understood, "--linear-lr has no effect here"},
		{"train --img 640 --batch 16 --epochs 5 --data d.yaml --cfg yolov5s.yaml --weights yolov5s.pt", refused, "--cfg is not there: the layers are those of the weights"},
		{"train --epochs 10 --data coco128.yaml --weights yolov5s.pt --cache --evolve", refused, "--evolve is not there: hyperparameters are not searched for"},
		{"train --epochs 10 --data coco128.yaml --weights yolov5s.pt --evolve 300", refused, "hint: yolofreeze compare"},
		{"train --weights yolov5s.pt --data d.yaml --imgsz 640 480", understood, "imgsz=640,480"},
		{"train --weights yolov5s.pt --data d.yaml --bucket gs://x", refused, "--bucket is not there: nothing is sent"},
		{"train --weights yolov5s.pt --data d.yaml --p x", refused, "--p is the beginning of --project, --patience"},

		{"val --weights yolov5x.pt --data coco.yaml --img 640 --iou 0.65 --half", understood, "iou-thres=0.65"},
		{"val --weights yolov5s.pt --data coco128.yaml --img 640 --conf 0.001 --iou 0.6", understood, "conf-thres=0.001"},
		{"val --weights yolov5s.pt --data coco.yaml --img 640 --task test", understood, "task=test"},
		{"val --weights runs/train/exp/weights/best.pt --data d.yaml --batch 1 --verbose --save-txt --save-conf", understood, "verbose=true"},
		{"val --weights yolov5s.pt --data d.yaml --save-json --max-det 100 --device 0 --workers 4", understood, "max-det=100"},
		{"val --weights yolov5s.onnx --data d.yaml --dnn", understood, "--dnn has no effect here"},
		{"val --weights yolov5s.pt --data d.yaml --single-cls --project runs/val --name e --exist-ok", understood, "single-cls=true"},
		{"val --weights yolov5x.pt yolov5l6.pt --data coco.yaml --img 640 --half", understood, "weights=yolov5x.pt"},
		{"val --weights yolov5x.pt --data coco.yaml --img 832 --augment --half", understood, "augment=true"},
		{"val --weights yolov5s.pt --data d.yaml --save-hybrid", understood, "save-hybrid=true"},
		{"val --weights yolov5n.pt yolov5s.pt --data coco.yaml --task study --iou 0.7", understood, "task=study"},
		{"val --weights yolov5s.pt --data coco128.yaml --task speed --batch 1", understood, "task=speed"},

		{"detect --source data/images --weights yolov5s.pt --conf 0.25", understood, "conf-thres=0.25"},
		{"detect --weights yolov5s.pt --img 640 --conf 0.25 --source data/images", understood, "source=data/images"},
		{"detect --weights yolov5s.pt --source img.jpg", understood, "source=img.jpg"},
		{"detect --weights yolov5s.pt --source path/*.jpg", understood, "source=path/*.jpg"},
		{"detect --weights yolov5s.pt --source list.txt --classes 0 2", understood, "classes=0,2"},
		{"detect --weights yolov5s.pt --classes 0 15 16 --source data/images", understood, "classes=0,15,16"},
		{"detect --weights best.pt --img 416 --conf 0.4 --source ../test/images --save-crop --line-thickness 2", understood, "line-thickness=2"},
		{"detect --weights yolov5s.pt --source x.jpg --hide-labels --hide-conf --nosave", understood, "hide-conf=true"},
		{"detect --weights yolov5s.pt --source x.jpg --save-txt --save-conf --iou 0.5 --agnostic", understood, "agnostic-nms=true"},
		{"detect --weights yolov5s.pt --source x.jpg --imgsz 640 640 --max-det 10", understood, "imgsz=640"},
		{"detect --weights yolov5s.onnx --source x.jpg --data data/coco128.yaml --dnn", understood, "--data has no effect here"},
		{"detect --weights yolov5s.pt --source x.jpg --view-img --update", understood, "--view-img has no effect here"},
		{"detect --weights yolov5s.pt --source x.mp4 --vid-stride 2", understood, "--vid-stride has no effect here"},
		{"detect --weights yolov5s.pt --source x.jpg --save-csv --save-format 0 --half", understood, "save-csv=true"},
		{"detect --weights yolov5s.pt --source x.jpg --save-txt --save-format 1", understood, "save-format=1"},
		{"detect --weights yolov5s.pt --source x.jpg --visualize", refused, "--visualize is not there"},
		{"detect --weights yolov5s.pt --img 832 --source x.jpg --augment", understood, "augment=true"},
		{"detect --weights yolov5s.pt yolov5m.pt --source x.jpg", understood, "weights=yolov5s.pt"},

		{"export --weights yolov5s.pt --include onnx", understood, "format=onnx"},
		{"export --weights yolov5s.pt --include torchscript onnx", understood, "format=torchscript,onnx"}, // export itself names its formats
		{"export --weights yolov5s.pt --include onnx --simplify --opset 12", understood, "opset=12"},
		{"export --weights yolov5s.pt --include onnx --dynamic --inplace", understood, "--inplace has no effect here"},
		{"export --weights yolov5s.pt --img 640 --batch 1 --include onnx --device cpu", understood, "--device has no effect here"},
		{"export --weights yolov5s.pt --include onnx --imgsz 320 320 --half", understood, "imgsz=320"},
		{"export --weights yolov5s.pt --include onnx --int8 --data coco128.yaml", understood, "int8=true"},
		{"export --weights yolov5s.pt --include onnx --nms --agnostic --topk-all 50 --conf 0.4 --iou 0.5", understood, "max-det=50"},
		{"export --weights yolov5s.pt --include engine --workspace 4 --verbose", understood, "--workspace has no effect here"},
		{"export --weights yolov5s.pt --include coreml --mlmodel", refused, "--mlmodel is not there: CoreML"},
		{"export --weights yolov5s.pt --include saved_model --keras", refused, "--keras is not there: TensorFlow"},
		{"export --weights yolov5s.pt --topk-per-class 10", refused, "hint: --max-det"},
		{"export --weights yolov5s.pt --train", refused, "--train is not there: exports are for detection"},
		{"export --weights yolov5s.pt --imgsz 640 480", understood, "imgsz=640,480"},
	} {
		code, stdout, stderr := parsed(c.line)
		if code != c.code {
			t.Errorf("%s: exit code %d, %s", c.line, code, stderr)
			continue
		}
		said := slices.Concat(strings.Fields(stdout), strings.Split(stderr, "\n"))
		if !slices.ContainsFunc(said, func(text string) bool {
			return text == c.says || strings.Contains(c.says, " ") && strings.Contains(text, c.says)
		}) {
			t.Errorf("%s: got %q, want %q", c.line, said, c.says)
		}
	}
}

// TestHints: a hint names what is near, and nothing far off.
func TestHints(t *testing.T) {
	for line, want := range map[string]string{
		"train --epohcs 3": "did you mean --epochs?",
		"train --imgz 3":   "did you mean --imgsz, --img?",
		"train --cgf a":    "see yolofreeze train --help",
		"val --xyz":        "see yolofreeze val --help",
		"compare --cfg x":  "see yolofreeze compare --help",
		"freeze --dryrun":  "did you mean --dry-run?",
	} {
		if code, _, stderr := parsed(line); code != term.ExitUsage || !strings.Contains(stderr, "hint: "+want+"\n") {
			t.Errorf("%s: exit code %d, %s", line, code, stderr)
		}
	}
}
