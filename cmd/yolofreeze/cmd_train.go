package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/freeze"
	"yolofreeze/freeze/checkpoint"
	"yolofreeze/freeze/finetune"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/collective"
	"yolofreeze/onnx/ort"
)

func trainCommand() *cli.Command {
	return &cli.Command{
		Name:  "train",
		Usage: "fine-tune a model with some of it frozen",
		Description: "An artifacts folder brings its own plan, picture size, batch, optimizer and hyperparameters; flags\n" +
			"win over them.",
		Flags:  append(flags.Train(options.AllRuns, options.Variant, options.OneRun), verboseFlag(), offlineFlag()),
		Action: train,
	}
}

func train(c *cli.Context) error {
	return amongRanks(c, func(ranks *collective.Group) error { return trainOn(c, ranks) })
}

// trainOn trains as a rank of several; nil: this process trains alone, or starts them.
func trainOn(c *cli.Context, ranks *collective.Group) error {
	if err := flags.NeedArgs(c, 0, 0); err != nil {
		return err
	}
	o := options.Defaults()
	from := c.String("resume-from")
	var state *checkpoint.State // of the run that is resumed
	var err error
	if c.IsSet("resume-from") {
		if from == "" {
			if from, err = runs.Newest(c.String("project")); err != nil {
				return err
			}
			if from == "" {
				return term.BadInputf("%s: no run to resume there", c.String("project"))
			}
			term.Of(c).Logf("resuming %s, the newest run", from)
		}
		if state, err = checkpoint.Read(from); err != nil {
			return term.BadInput(err)
		}
		o = state.Resumed()
	} else if err := flags.Need(c, "weights", "data"); err != nil {
		return err
	} else if weights := c.String("weights"); artifact.Is(weights) {
		if o, err = finetune.ArtifactsOptions(weights); err != nil {
			return err
		}
	}
	if err := flags.SetOptions(c, &o); err != nil {
		return err
	}
	if d := o.LRDecay; c.IsSet("lr-decay") && !(d > 0 && d <= 1) { // 0 would pass for an option that was not given
		return term.Usagef("train: --lr-decay %g: want more than 0, at most 1", d)
	}
	if from == "" {
		if o.Weights, err = weightsFile(c, o.Weights); err != nil {
			return err
		}
	}
	if o.Teacher == "" && c.IsSet("teacher-weight") && o.TeacherWeight != options.Defaults().TeacherWeight { // a run's opt.yaml states it
		return term.Usagef("train: --teacher-weight %g: there is no --teacher", o.TeacherWeight)
	}
	if o.Teacher != "" && c.IsSet("teacher") {
		if o.Teacher, err = weightsFile(c, o.Teacher); err != nil {
			return err
		}
	}
	o.ResumeFrom, o.Version = from, readVersion().Version
	o.Reads = flags.Inputs(c).Files
	if list := options.Devices(o.Device); ranks == nil && len(list) > 1 {
		return startRanks(c, len(list))
	}
	t := term.Of(c)
	t.StopGracefully(term.Saving)
	r := &trainReporter{t: t, frozen: func(p *freeze.Plan) []string { return frozenLines(c, p) }}
	report, err := finetune.Resume(c.Context, ranks, state, o, r)
	r.close()
	if err != nil || !ranks.Root() {
		return err
	}
	return t.Result(report, func(w io.Writer) error { return writeReport(w, report) })
}

func writeReport(w io.Writer, r *finetune.Summary) error {
	m, p := r.Metrics, r.Phases
	term.Fprintf(w, "\n%d epochs in %s: best epoch %d with P %.3g, R %.3g, mAP50 %.3g, mAP50-95 %.3g\n",
		r.Epochs, seconds(r.Seconds), m.Epoch, m.Precision, m.Recall, m.MAP50, m.MAP)
	if p.Features > 0 {
		term.Fprintf(w, "caching features took %s\n", seconds(p.Features))
	}
	kernels := ""
	if r.Kernels != "" {
		kernels = " with " + r.Kernels + " kernels"
	}
	term.Fprintf(w, "time: data %s, step %s, optimizer %s, validation %s, saving %s; %.1f images/s%s; peak memory %.2f GB\n",
		seconds(p.Data), seconds(p.Step), seconds(p.Optimizer), seconds(p.Validation), seconds(p.Saving), r.ImagesPerSecond, kernels, float64(r.PeakRSS)/1e9)
	if r.Moved.Batches > 0 {
		term.Fprintf(w, "between host and device: %d bytes a batch; state %.1f MB in, %.1f MB out\n", r.Moved.PerBatch(), float64(r.Moved.State.In)/1e6, float64(r.Moved.State.Out)/1e6)
	}
	if r.DeviceMemory > 0 {
		term.Fprintf(w, "device memory: %.2f GB at most\n", float64(r.DeviceMemory)/1e9)
	}
	if p := r.Placement; p != nil && p.Device.Kind != ort.CPU {
		term.Fprintf(w, "placement: %v\n", p)
	}
	if r.Skipped > 0 {
		term.Fprintf(w, "%d steps were left out, whose gradients overflowed\n", r.Skipped)
	}
	if r.Best != "" {
		term.Fprintf(w, "best weights %s, as ONNX %s\nto go on %s\n", r.Best, filepath.Base(r.Export), r.Last)
	}
	_, err := term.Fprintf(w, "Results saved to %s\n", r.RunDir)
	return err
}

func seconds(s float64) string {
	if s < 100 {
		return fmt.Sprintf("%.1f s", s)
	}
	return fmt.Sprintf("%d:%02d:%02d", int(s)/3600, int(s)/60%60, int(s)%60)
}
