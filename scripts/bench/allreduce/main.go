// Command allreduce measures what ranks on one host need to sum the gradients of YOLOv5 over MPI: it starts
// itself as 1, 2, 4 and 8 processes and prints, for each model, the median of some sums.
//
//	go run ./scripts/bench/allreduce model.pt…
package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"yolofreeze/freeze"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx/collective"
)

const rounds = 15

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "allreduce:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 1 && args[0] == "rank" {
		return measure(args[1:])
	}
	sizes := []string{"rank"}
	for _, path := range args {
		whole, frozen, err := trainable(path)
		if err != nil {
			return err
		}
		sizes = append(sizes, strconv.Itoa(whole), strconv.Itoa(frozen))
		fmt.Printf("%s: %.1f MB unfrozen, %.1f MB with ten layers frozen\n", path, 4e-6*float64(whole), 4e-6*float64(frozen))
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if err := measure(sizes[1:]); err != nil { // one rank, which is nothing
		return err
	}
	for _, ranks := range []int{2, 4, 8} {
		r, err := collective.Start(ranks, os.Stdout, os.Stderr, program, sizes...)
		if err != nil {
			return err
		}
		if code, err := r.Wait(); err != nil || code != 0 {
			return fmt.Errorf("%d ranks: exit code %d, %w", ranks, code, err)
		}
	}
	return nil
}

// trainable counts the numbers that train, unfrozen and with ten layers frozen.
func trainable(path string) (whole, frozen int, err error) {
	m, err := model.Load(path)
	if err != nil {
		return 0, 0, err
	}
	net, err := m.Freezable()
	if err != nil {
		return 0, 0, err
	}
	for i, text := range []string{"0", "10"} {
		selectors, err := freeze.Parse([]string{text})
		if err != nil {
			return 0, 0, err
		}
		plan, err := freeze.New(net, selectors, freeze.Policy{})
		if err != nil {
			return 0, 0, err
		}
		n := int(plan.Summary().Trainable.Elements)
		if i == 0 {
			whole = n
		} else {
			frozen = n
		}
	}
	return whole, frozen, nil
}

// measure sums as one rank, and prints on rank 0.
func measure(sizes []string) error {
	g, err := collective.Join()
	if err != nil {
		return err
	}
	for _, text := range sizes {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		data := make([]float32, n)
		var times []time.Duration
		for range rounds {
			if err := g.Barrier(); err != nil {
				return err
			}
			start := time.Now()
			if err := g.Sum(data); err != nil {
				return err
			}
			times = append(times, time.Since(start))
		}
		slices.Sort(times)
		if g.Root() {
			fmt.Printf("%d ranks, %5.1f MB: %6.1f ms\n", g.Size(), 4e-6*float64(n), times[rounds/2].Seconds()*1e3)
		}
	}
	if err := g.Close(nil, 0); err != nil {
		return err
	}
	if code := g.Exit(0); code != 0 {
		os.Exit(code)
	}
	return nil
}
