//go:build unix

// Command step times training steps of a YOLOv5 model on random pictures and
// boxes, as ../shared/bench/torch_step.py does in PyTorch: forward, loss,
// gradients, clipping, optimizer, moving average. It prints one JSON line.
//
//	go run ./scripts/bench/step -weights ../shared/models/yolov5n-v7.0.pt -batch 8 -imgsz 320 -freeze 10
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"yolofreeze/freeze"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/loss"
)

func main() {
	weights := flag.String("weights", "../shared/models/yolov5n-v7.0.pt", "checkpoint: gives the layer table and the weights")
	batch := flag.Int("batch", 8, "pictures in a step")
	size := flag.Int("imgsz", 320, "side of the pictures in pixels")
	frozen := flag.Int("freeze", 0, "number of first layers to freeze")
	bn := flag.String("bn", "eval", "BatchNorm of frozen layers: eval or batch")
	threads := flag.Int("threads", 2, "threads for one operator")
	steps := flag.Int("steps", 12, "timed steps")
	nc := flag.Int("nc", 20, "classes")
	device := flag.String("device", ort.CPU.String(), "execution provider")
	memory := flag.String("memory", "", "comma list of noarena, nopattern, noprepack: memory against speed")
	profile := flag.String("profile", "", "prefix of a trace file")
	amp := flag.String("amp", "", "type of products: fp16 or bf16")
	graph := flag.Bool("cuda-graph", false, "capture the step and repeat it")
	native := flag.Bool("native", false, "native kernels")
	provider := flag.String("provider-option", "", "comma list of KEY=VALUE for the execution provider")
	flag.Parse()
	has := func(word string) bool { return slices.Contains(strings.Split(*memory, ","), word) }
	o := ort.Options{Threads: *threads, Profile: *profile,
		NoArena: has("noarena"), NoMemPattern: has("nopattern"), NoPrepack: has("noprepack"), Capture: *graph, Native: *native}
	var err error
	o.Device, err = ort.Resolve(*device)
	if err == nil && *provider != "" {
		o.ProviderOptions, err = options.ParseProviderOptions(strings.Split(*provider, ","))
	}
	if err == nil {
		err = run(*weights, *batch, *size, *frozen, *bn, *steps, *nc, *amp, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "step:", err)
		os.Exit(1)
	}
}

func run(weights string, batch, size, frozen int, bn string, steps, nc int, amp string, o ort.Options) error {
	spec, err := specOf(weights, batch, size, frozen, bn, nc)
	if err != nil {
		return err
	}
	if spec.AMP, err = step.ParseAMP(amp); err != nil {
		return err
	}
	e, err := step.NewEngine(spec, o)
	if err != nil {
		return err
	}
	defer e.Close()
	random := rand.New(rand.NewPCG(0, 0))
	images := make([]uint8, batch*3*size*size)
	for i := range images {
		images[i] = uint8(random.UintN(256))
	}
	var targets []yolov5.Target
	for i := range 6 * batch {
		targets = append(targets, yolov5.Target{Image: i % batch, Class: random.IntN(nc), X: random.Float64()*.8 + .1,
			Y: random.Float64()*.8 + .1, W: random.Float64()*.3 + .05, H: random.Float64()*.3 + .05})
	}
	matches := spec.Net.Assign(targets, size, size, spec.Loss.AnchorT)
	var times, cpu []float64 // of the clock, and of processors, which other programs' load touches less
	var moved step.Traffic   // by the first steps
	for i := range steps + 2 {
		if i == 2 {
			moved = e.Moved()
		}
		start, spent := time.Now(), processors()
		if _, err := e.Accumulate(images, matches); err != nil {
			return err
		}
		if _, err := e.Step(step.Rates{LR: [3]float64{1e-3, 1e-3, 1e-3}, Momentum: .937, EMADecay: .5}); err != nil {
			return err
		}
		times, cpu = append(times, time.Since(start).Seconds()), append(cpu, processors()-spent)
	}
	times, cpu = times[2:], cpu[2:] // the first steps allocate
	slices.Sort(times)
	slices.Sort(cpu)
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	memory, err := e.DeviceMemory()
	if err != nil {
		return err
	}
	now := e.Moved()
	perStep := func(now, before int64) int64 { return (now - before) / int64(steps) }
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"engine": "onnxruntime " + ort.Version(), "device": e.Device(), "model": weights, "batch": batch, "imgsz": size, "freeze": frozen,
		"bn": bn, "threads": o.Threads, "median_s": times[len(times)/2], "min_s": times[0], "cpu_s": cpu[len(cpu)/2], "cpu_min_s": cpu[0], "peak_rss_mb": usage.Maxrss / 1024,
		"amp": amp, "cuda_graph": o.Capture, "provider_options": o.ProviderOptions, "device_memory": memory,
		"bytes_in_per_step": perStep(now.Steps.In, moved.Steps.In), "bytes_out_per_step": perStep(now.Steps.Out, moved.Steps.Out),
	})
}

// processors is the time that they have spent on this process, in seconds.
func processors() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func specOf(weights string, batch, size, frozen int, bn string, nc int) (*step.Spec, error) {
	m, err := model.Load(weights)
	if err != nil {
		return nil, err
	}
	if m, _, err = m.ForClasses(make([]string, nc), 0); err != nil {
		return nil, err
	}
	loss := loss.Options{Box: .05, Obj: 1, Cls: .5, ObjPW: 1, ClsPW: 1, AnchorT: 4}
	spec := &step.Spec{Net: m.Net, State: m.State, Batch: batch, Height: size, Width: size, Loss: loss.Scaled(m.Net, int64(size)),
		Optimizer: optim.Options{Algorithm: "SGD", WeightDecay: 5e-4, ClipNorm: 10}}
	if frozen == 0 {
		return spec, nil
	}
	network, err := m.Freezable()
	if err != nil {
		return nil, err
	}
	selectors, err := freeze.Parse([]string{fmt.Sprint(frozen)})
	if err != nil {
		return nil, err
	}
	spec.Plan, err = freeze.New(network, selectors, freeze.Policy{Mode: freeze.BN(bn)})
	return spec, err
}
