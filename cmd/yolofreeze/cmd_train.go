package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"yolofreeze/dataset"
	"yolofreeze/freeze/finetune"
	"yolofreeze/onnx/artifact"
)

func trainCommand() *cli.Command {
	d := finetune.Defaults()
	return &cli.Command{
		Name:  "train",
		Usage: "fine-tune a model with some of it frozen",
		Description: "An artifacts folder brings its own plan, picture size, batch, optimizer and hyperparameters; flags\n" +
			"win over them.",
		Flags: append(dataFlags(),
			&cli.StringFlag{Name: "weights", Usage: "`MODEL` to start from: .pt, .safetensors, an artifacts folder, or an exported .onnx"},
			&cli.StringSliceFlag{Name: "freeze", Usage: "what stays as it is: `N` for the first N layers, lists, ranges, names, backbone, @freeze.yaml"},
			&cli.StringSliceFlag{Name: "bn", Usage: "BatchNorm of frozen layers: `MODE` eval, batch or affine-only, or selector=mode"},
			&cli.StringSliceFlag{Name: "unfreeze", Usage: "what trains from an epoch on: `EPOCH:SELECTOR`, such as 10:6-9,20:all"},
			&cli.StringSliceFlag{Name: "lr-scale", Usage: "`SELECTOR=FACTOR` of the learning rate, such as backbone=0.1,neck=0.5"},
			&cli.Float64Flag{Name: "lr-decay", Value: 1, Usage: "each layer learns at `FACTOR` of the rate of the layer above it"},
			imgszFlag(),
			&cli.IntFlag{Name: "batch-size", Aliases: []string{"batch"}, Value: d.BatchSize, Usage: "pictures a `BATCH`; -1: as many as fit into memory"},
			&cli.IntFlag{Name: "epochs", Value: d.Epochs, Usage: "`N` passes over the data; 0 only validates"},
			hypFlag(),
			&cli.StringFlag{Name: "optimizer", Value: d.Optimizer, Usage: "`RULE`: " + strings.Join(finetune.Optimizers, ", ")},
			&cli.BoolFlag{Name: "cos-lr", Usage: "learning rates fall as a cosine, not in a line"},
			&cli.Float64Flag{Name: "label-smoothing", Usage: "class targets become 1-`E`/2 and E/2"},
			&cli.IntFlag{Name: "patience", Value: d.Patience, Usage: "stop after `N` epochs without improvement; 0: never"},
			&cli.Uint64Flag{Name: "seed", Value: d.Seed, Usage: "`SEED` of everything random"},
			&cli.BoolFlag{Name: "rect", Usage: "batches of like shapes, without mosaics"},
			&cli.BoolFlag{Name: "image-weights", Usage: "draw pictures of badly found classes more often"},
			&cli.BoolFlag{Name: "multi-scale", Usage: "each batch has a side from half to one and a half imgsz"},
			&cli.BoolFlag{Name: "quad", Usage: "join four pictures to one of twice the side, or enlarge one, as a coin decides"},
			mosaic9Flag(),
			&cli.BoolFlag{Name: "single-cls", Usage: "treat all classes as one"},
			&cli.IntFlag{Name: "close-mosaic", Usage: "no mosaics in the last `N` epochs"},
			&cli.BoolFlag{Name: "noautoanchor", Usage: "do not look at how the anchors fit the data"},
			&cli.BoolFlag{Name: "autoanchor", Usage: "make anchors for the data although the head keeps its weights"},
			&cli.BoolFlag{Name: "noval", Usage: "validate the last epoch only"},
			&cli.BoolFlag{Name: "nosave", Usage: "save the last epoch only"},
			&cli.BoolFlag{Name: "noplots", Usage: "draw no pictures of the run"},
			&cli.IntFlag{Name: "save-period", Value: d.SavePeriod, Usage: "keep the weights of every `N`th epoch"},
			&cli.IntFlag{Name: "workers", Value: d.Workers, Usage: "`N` goroutines that load pictures; 0: one a core"},
			&optionalText{&cli.StringFlag{Name: "cache", Value: d.Cache, Usage: "decoded pictures stay in memory or on disk: `WHERE` " + strings.Join(finetune.Caches, ", ") + "; alone: ram"}, "ram"},
			cacheFeaturesFlag(),
			&cli.StringFlag{Name: "feature-type", Value: d.FeatureType, Usage: "cached features as `TYPE` fp16 or fp32"},
			&cli.Float64Flag{Name: "feature-budget", Usage: "all feature caches together take at most `GB`; 0: nine tenths of the free disk"},
			deviceFlag(), providerOptionFlag(),
			&cli.BoolFlag{Name: "cuda-graph", Usage: "capture the step once and repeat it (CUDA; WebGPU in its own way)"},
			&cli.BoolFlag{Name: "strict-placement", Usage: "refuse to train where the CPU provider must help the device out"},
			&cli.StringFlag{Name: "amp", Usage: "mixed precision: `TYPE` of products, fp16 (with a scaled loss) or bf16 (cpu and cuda)"},
			&cli.StringFlag{Name: "project", Value: d.Project, Usage: "`FOLDER` of runs"},
			&cli.StringFlag{Name: "name", Value: d.Name, Usage: "`NAME` of this run's folder"},
			&cli.BoolFlag{Name: "exist-ok", Usage: "write into a folder that is there"},
			&optionalText{&cli.StringFlag{Name: "resume-from", Aliases: []string{"resume"}, Usage: "go on with the run of this `FOLDER` or last.safetensors, with its options; alone: the newest below --project"}, ""},
			&cli.BoolFlag{Name: "force", Usage: "resume although options or data have changed"},
		),
		Action: train,
	}
}

func train(c *cli.Context) error {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	o := finetune.Defaults()
	var err error
	if c.IsSet("resume-from") {
		from := c.String("resume-from")
		if from == "" {
			if from, err = newestRun(c.String("project")); err != nil {
				return err
			}
			termOf(c).logf("resuming %s, the newest run", from)
		}
		if o, err = finetune.ResumeOptions(from); err != nil {
			return badInput(err)
		}
		o.ResumeFrom, o.Force = from, c.Bool("force")
	} else if err := needFlags(c, "weights", "data"); err != nil {
		return err
	} else if weights := c.String("weights"); artifact.Is(weights) {
		if o, err = finetune.ArtifactsOptions(weights); err != nil {
			return err
		}
	}
	if err := trainOptions(c, &o); err != nil {
		return err
	}
	t := termOf(c)
	t.stopGracefully(saving)
	r := &trainReporter{t: t}
	report, err := finetune.Run(c.Context, o, r)
	r.close()
	if err != nil {
		return err
	}
	return t.result(report, func(w io.Writer) error { return writeReport(w, report) })
}

// newestRun finds the run below a folder whose state was saved last.
func newestRun(project string) (newest string, err error) {
	entries, err := os.ReadDir(project)
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	var saved time.Time
	for _, e := range entries {
		dir := filepath.Join(project, e.Name())
		info, err := os.Stat(filepath.Join(dir, "weights", "last.safetensors"))
		if err == nil && info.ModTime().After(saved) {
			newest, saved = dir, info.ModTime()
		}
	}
	if newest == "" {
		return "", badInputf("%s: no run to resume there", project)
	}
	return newest, nil
}

// trainOptions takes over the flags that were given; the others keep what o
// has, defaults or the resumed run's.
func trainOptions(c *cli.Context, o *finetune.Options) error {
	o.Version = readVersion().Version
	set := func(name string, to func()) {
		if c.IsSet(name) {
			to()
		}
	}
	texts := map[string]*string{"weights": &o.Weights, "data": &o.Data, "optimizer": &o.Optimizer, "cache": &o.Cache, "device": &o.Device, "feature-type": &o.FeatureType, "amp": &o.AMP,
		"project": &o.Project, "name": &o.Name, "bad-labels": (*string)(&o.BadLabels), "bad-images": (*string)(&o.BadImages)}
	for name, to := range texts {
		set(name, func() { *to = c.String(name) })
	}
	lists := map[string]*[]string{"freeze": &o.Freeze, "bn": &o.BN, "unfreeze": &o.Unfreeze, "lr-scale": &o.LRScale, "classes": &o.Classes, "provider-option": &o.ProviderOptions}
	for name, to := range lists {
		set(name, func() { *to = c.StringSlice(name) })
	}
	o.Withheld = slices.DeleteFunc(o.Withheld, func(flag string) bool {
		name, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), " ")
		return c.IsSet(name)
	})
	numbers := map[string]*int{"epochs": &o.Epochs, "batch-size": &o.BatchSize, "imgsz": &o.ImageSize, "patience": &o.Patience,
		"close-mosaic": &o.CloseMosaic, "save-period": &o.SavePeriod, "workers": &o.Workers}
	for name, to := range numbers {
		set(name, func() { *to = c.Int(name) })
	}
	switches := map[string]*bool{"cos-lr": &o.CosLR, "rect": &o.Rect, "image-weights": &o.ImageWeights, "multi-scale": &o.MultiScale, "quad": &o.Quad,
		"single-cls": &o.SingleCls, "noval": &o.NoVal, "nosave": &o.NoSave, "noautoanchor": &o.NoAutoAnchor, "autoanchor": &o.AutoAnchor,
		"exist-ok": &o.ExistOK, "noplots": &o.NoPlots, "strict-placement": &o.StrictPlacement, "cuda-graph": &o.CUDAGraph}
	for name, to := range switches {
		set(name, func() { *to = c.Bool(name) })
	}
	set("cache-features", func() { o.CacheFeatures = int(*c.Generic("cache-features").(*views)) })
	set("feature-budget", func() { o.FeatureBudget = c.Float64("feature-budget") })
	set("mosaic9", func() { o.Mosaic9 = c.Float64("mosaic9") })
	set("seed", func() { o.Seed = c.Uint64("seed") })
	if c.IsSet("hyp") {
		hyp, err := dataset.LoadHyp(c.String("hyp"))
		if err != nil {
			return err
		}
		o.Hyp = hyp
	}
	if e := c.Float64("label-smoothing"); c.IsSet("label-smoothing") {
		if !(e >= 0 && e < 1) {
			return usageErrorf("train: label-smoothing %g: want 0 or more, less than 1", e)
		}
		o.Hyp.LabelSmoothing = e
	}
	if d := c.Float64("lr-decay"); c.IsSet("lr-decay") {
		if !(d > 0 && d <= 1) { // 0 would pass for an option that was not given
			return usageErrorf("train: lr-decay %g: want more than 0, at most 1", d)
		}
		o.LRDecay = d
	}
	return nil
}

func writeReport(w io.Writer, r *finetune.Summary) error {
	m, p := r.Metrics, r.Phases
	fmt.Fprintf(w, "\n%d epochs in %s: best epoch %d with P %.3g, R %.3g, mAP50 %.3g, mAP50-95 %.3g\n",
		r.Epochs, seconds(r.Seconds), m.Epoch, m.Precision, m.Recall, m.MAP50, m.MAP)
	if p.Features > 0 {
		fmt.Fprintf(w, "caching features took %s\n", seconds(p.Features))
	}
	fmt.Fprintf(w, "time: data %s, step %s, optimizer %s, validation %s, saving %s; %.1f images/s; peak memory %.2f GB\n",
		seconds(p.Data), seconds(p.Step), seconds(p.Optimizer), seconds(p.Validation), seconds(p.Saving), r.ImagesPerSecond, float64(r.PeakRSS)/1e9)
	if r.Moved.Batches > 0 {
		fmt.Fprintf(w, "between host and device: %d bytes a batch; state %.1f MB in, %.1f MB out\n", r.Moved.PerBatch(), float64(r.Moved.State.In)/1e6, float64(r.Moved.State.Out)/1e6)
	}
	if r.DeviceMemory > 0 {
		fmt.Fprintf(w, "device memory: %.2f GB at most\n", float64(r.DeviceMemory)/1e9)
	}
	if p := r.Placement; p != nil && p.Device != "cpu" {
		fmt.Fprintf(w, "placement: %v\n", p)
	}
	if r.Skipped > 0 {
		fmt.Fprintf(w, "%d steps were left out, whose gradients overflowed\n", r.Skipped)
	}
	if r.Best != "" {
		fmt.Fprintf(w, "best weights %s, as ONNX %s\nto go on %s\n", r.Best, filepath.Base(r.Export), r.Last)
	}
	_, err := fmt.Fprintf(w, "Results saved to %s\n", r.RunDir)
	return err
}

func seconds(s float64) string {
	if s < 100 {
		return fmt.Sprintf("%.1f s", s)
	}
	return fmt.Sprintf("%d:%02d:%02d", int(s)/3600, int(s)/60%60, int(s)%60)
}
