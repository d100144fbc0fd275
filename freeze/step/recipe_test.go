package step

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/onnx/testkit/shared"
)

// TestRecordedSchedule follows the recorded runs batch by batch.
func TestRecordedSchedule(t *testing.T) {
	f, err := os.Open(shared.Path(t, "golden", "pictures", "schedule.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	runs, order := map[string][]map[string]float64{}, []string{}
	for _, line := range lines[1:] {
		row := map[string]float64{}
		for i, name := range lines[0][1:] {
			if row[name], err = strconv.ParseFloat(line[i+1], 64); err != nil {
				t.Fatal(err)
			}
		}
		name := strings.Join(line[:5], ",")
		if runs[name] == nil {
			order = append(order, name)
		}
		runs[name] = append(runs[name], row)
	}
	for _, name := range order {
		t.Run(name, func(t *testing.T) { followSchedule(t, strings.Split(name, ",")[0], runs[name]) })
	}
}

func followSchedule(t *testing.T, hyp string, rows []map[string]float64) {
	h, err := dataset.LoadHyp(strings.TrimPrefix(hyp, "hyp.scratch-"))
	if hyp == "hyp.VOC" {
		h, err = dataset.LoadHyp("VOC")
	}
	if err != nil {
		t.Fatal(err)
	}
	first := rows[0]
	s := Recipe{Hyp: h, Epochs: int(first["epochs"]), Batches: int(first["batches_per_epoch"]),
		BatchSize: int(first["batch"]), Cosine: first["cosine"] == 1}
	last, steps := -1, 0
	for batch := range s.Epochs * s.Batches {
		epoch := batch / s.Batches
		r, accumulate := s.At(epoch, batch)
		if batch-last >= accumulate {
			last = batch
			steps++
			r.EMADecay = EMADecay(steps)
		}
		if len(rows) == 0 || int(rows[0]["iteration"]) != batch {
			continue
		}
		got := map[string]float64{"epoch": float64(epoch), "accumulate": float64(accumulate),
			"lr_bias": r.LR[0], "lr_weight": r.LR[1], "lr_norm": r.LR[2], "momentum": r.Momentum,
			"weight_decay": s.WeightDecay(), "optimizer_steps_so_far": float64(steps), "ema_decay_after": EMADecay(steps)}
		for name, v := range got {
			if want := rows[0][name]; math.Abs(v-want) > 1e-12 {
				t.Errorf("batch %d: %s is %v, recorded %v", batch, name, v, want)
			}
		}
		rows = rows[1:]
	}
	if len(rows) > 0 {
		t.Errorf("%d recorded batches were not reached, the first %v", len(rows), rows[0])
	}
}

func TestScheduleKeepsAdamsBeta(t *testing.T) {
	h, _ := dataset.LoadHyp("low")
	for _, adam := range []bool{false, true} {
		t.Run(fmt.Sprint(adam), func(t *testing.T) {
			r, _ := Recipe{Hyp: h, Epochs: 3, Batches: 8, BatchSize: 16, Adam: adam}.At(0, 0)
			want := h.WarmupMomentum
			if adam {
				want = h.Momentum
			}
			if r.Momentum != want {
				t.Errorf("momentum of the first batch is %v, want %v", r.Momentum, want)
			}
		})
	}
}
