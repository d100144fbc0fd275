package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/matrix"
	"yolofreeze/cmd/term"
	"yolofreeze/dataset"
	"yolofreeze/dataset/synth"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/yaml"
	"yolofreeze/onnx/yolov5"
)

// The demonstration's pictures are this wide; objects span 15 to 45 pixels.
const demoSide = 96

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "the whole story on data and weights that the program makes itself",
		Description: "Draws two families of shapes, trains a small model on the first from nothing, then fine-tunes it\n" +
			"on the second twice from the same seed, unfrozen and with its backbone frozen, and compares.\n" +
			"Takes about a minute and a half on two cores.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "project", Value: "runs", Usage: "`FOLDER` of runs"},
			&cli.StringFlag{Name: "name", Value: "demo", Usage: "`NAME` of this demonstration's folder"},
			&cli.IntFlag{Name: "images", Value: 512, Usage: "`N` pictures to pre-train on; fine-tuning has three eighths of them"},
			&cli.IntFlag{Name: "pretrain-epochs", Value: 20, Usage: "`N` passes of pre-training"},
			&cli.IntFlag{Name: "epochs", Value: 24, Usage: "`N` passes of each fine-tuning"},
			&cli.Uint64Flag{Name: "seed", Usage: "`SEED` of pictures, weights and training"},
			flags.Named("device"),
		},
		Action: demo,
	}
}

// demonstration is a demo under way.
type demonstration struct {
	t     *term.Terminal
	dir   string
	seed  uint64
	first synth.Options // what is pre-trained on
	then  synth.Options
}

func demo(c *cli.Context) error {
	if err := flags.NeedArgs(c, 0, 0); err != nil {
		return err
	}
	for name, least := range map[string]int{"images": 16, "pretrain-epochs": 1, "epochs": 1} {
		if c.Int(name) < least {
			return term.Usagef("demo: --%s %d: want at least %d", name, c.Int(name), least)
		}
	}
	t, start, images := term.Of(c), time.Now(), c.Int("images")
	t.StopGracefully(term.Saving)
	dir, err := runs.NewFolder(c.String("project"), c.String("name"), false, disk.Inputs{})
	if err != nil {
		return err
	}
	d := &demonstration{t: t, dir: dir, seed: c.Uint64("seed"),
		first: shapes(synth.Families["plain"], images, images/8, c.Uint64("seed")),
		then:  shapes(synth.Families["pointed"], images*3/8, images/8, c.Uint64("seed")+1)}
	if err := d.prepare(); err != nil {
		return err
	}
	common := []string{"--hyp=" + d.path("hyp.yaml"), fmt.Sprintf("--imgsz=%d", demoSide), "--batch-size=16", "--optimizer=Adam",
		fmt.Sprintf("--seed=%d", d.seed), "--device=" + c.String("device"), "--patience=0"}
	train := func(name, weights, data string, epochs int, more ...string) matrix.Cell {
		flags := append([]string{"--weights=" + weights, "--data=" + filepath.Join(data, "data.yaml"), fmt.Sprintf("--epochs=%d", epochs)}, more...)
		return matrix.Cell{Name: name, Flags: append(flags, common...)}
	}
	d.stage(2, "pre-training from nothing on %v", d.first.Shapes)
	pretraining := train("pretraining", d.path("scratch.safetensors"), d.path("first"), c.Int("pretrain-epochs"))
	trained, err := matrix.Run(c.Context, t, dir, []matrix.Cell{pretraining}, nil)
	if err != nil {
		return err
	}
	d.stage(3, "fine-tuning on %v: unfrozen, then with the backbone frozen", d.then.Shapes)
	best := filepath.Join(trained[0], "weights", "best.safetensors")
	dirs, err := matrix.Run(c.Context, t, dir, []matrix.Cell{
		train("unfrozen", best, d.path("then"), c.Int("epochs"), "--freeze=0"),
		train("frozen-backbone", best, d.path("then"), c.Int("epochs"), "--freeze=backbone")}, nil)
	if err != nil {
		return err
	}
	d.stage(4, "comparing; all took %.0f s", time.Since(start).Seconds())
	return report(t, dir, "Fine-tuning on new shapes, with and without a frozen backbone", dirs, nil)
}

func (d *demonstration) path(name string) string { return filepath.Join(d.dir, name) }

// stage says which of the four begins.
func (d *demonstration) stage(i int, format string, args ...any) {
	d.t.Stage(fmt.Sprintf("[%d/4]", i), format, args...)

}

func shapes(names []string, train, val int, seed uint64) synth.Options {
	return synth.Options{Shapes: names, Counts: map[string]int{"train": train, "val": val}, Size: demoSide, Seed: seed}
}

// prepare draws the pictures, and writes fresh weights and the hyperparameters.
func (d *demonstration) prepare() error {
	d.stage(1, "drawing %d pictures of %v, %d of %v", d.first.Counts["train"], d.first.Shapes, d.then.Counts["train"], d.then.Shapes)
	for name, o := range map[string]synth.Options{"first": d.first, "then": d.then} {
		if err := synth.Write(d.path(name), o); err != nil {
			return err
		}
	}
	net, err := yolov5.ParseTable(demoTable(), len(d.first.Shapes))
	if err != nil {
		return fmt.Errorf("build the demonstration's model: %w", err)
	}
	state, err := net.Init(d.seed)
	if err != nil {
		return fmt.Errorf("initialise the demonstration's model: %w", err)
	}
	if err := model.Save(d.path("scratch.safetensors"), &model.Model{Net: net, State: state, Names: d.first.Shapes}); err != nil {
		return err
	}
	hyp, err := demoHyp()
	if err != nil {
		return err
	}
	text, err := yaml.Encode(hyp)
	if err != nil {
		return fmt.Errorf("write the demonstration's hyperparameters: %w", err)
	}
	if err := disk.Write(d.path("hyp.yaml"), text); err != nil {
		return fmt.Errorf("write the demonstration's hyperparameters: %w", err)
	}
	return nil
}

// demoHyp are hyperparameters for small pictures of few classes: YOLOv5 scales
// the objectness gain by the picture's area and the class gain by the number of
// classes, which leaves next to nothing of them here. A long warm-up means
// more optimizer steps, since it starts from one a batch.
func demoHyp() (dataset.Hyp, error) {
	h, err := dataset.LoadHyp("low")
	h.LR0, h.LRF, h.Momentum, h.WeightDecay, h.WarmupEpochs = .01, .1, .9, .0001, 20
	h.Box, h.Obj, h.Cls = .2, 10, 12
	h.Mosaic, h.Scale, h.HSVH, h.HSVS, h.HSVV = 0, .2, 0, .2, .2
	return h, err
}

// demoTable is a YOLOv5 cut down to two levels, strides 8 and 16: the same
// modules, a quarter of yolov5n's layers and an eighth of the channels.
func demoTable() map[string]any {
	layer := func(from any, repeat int, module string, args ...any) any { return []any{from, repeat, module, args} }
	return map[string]any{
		"depth_multiple": .33, "width_multiple": .125,
		"anchors": []any{[]any{12, 12, 18, 18, 26, 26}, []any{36, 36, 48, 48, 64, 64}},
		"backbone": []any{
			layer(-1, 1, "Conv", 64, 6, 2, 2),
			layer(-1, 1, "Conv", 128, 3, 2),
			layer(-1, 3, "C3", 128),
			layer(-1, 1, "Conv", 256, 3, 2),
			layer(-1, 3, "C3", 256),
			layer(-1, 1, "Conv", 512, 3, 2),
			layer(-1, 3, "C3", 512),
			layer(-1, 1, "SPPF", 512, 5),
		},
		"head": []any{
			layer(-1, 1, "Conv", 256, 1, 1),
			layer(-1, 1, "nn.Upsample", nil, 2, "nearest"),
			layer([]any{-1, 4}, 1, "Concat", 1),
			layer(-1, 3, "C3", 256, false),
			layer(-1, 1, "Conv", 256, 3, 2),
			layer([]any{-1, 8}, 1, "Concat", 1),
			layer(-1, 3, "C3", 512, false),
			layer([]any{11, 14}, 1, "Detect", "nc", "anchors"),
		},
	}
}
