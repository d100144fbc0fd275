package freeze

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestStages(t *testing.T) {
	cases := []struct {
		freeze, unfreeze string
		want             string // epoch: frozen layers
		failure          string
	}{
		{"10", "", "0:[0 1 2 3 4 5 6 7 8 9]", ""},
		{"10", "10:6-9,20:all", "0:[0 1 2 3 4 5 6 7 8 9] 10:[0 1 2 3 4 5] 20:[]", ""},
		{"10", "20:all,10:6-9", "0:[0 1 2 3 4 5 6 7 8 9] 10:[0 1 2 3 4 5] 20:[]", ""},
		{"10", "10:9", "0:[0 1 2 3 4 5 6 7 8 9] 10:[0 1 2 3 4 5 6 7 8]", ""},
		{"10", "10:9,8,10:model.7.", "0:[0 1 2 3 4 5 6 7 8 9] 10:[0 1 2 3 4 5 6]", ""},
		{"24", "5:neck 7:backbone", "0:[0 1 2 3 4 5 6 7 8 9 10 13 14 17 18 20 21 23] 5:[0 1 2 3 4 5 6 7 8 9] 7:[]", ""},
		{"10", "10:*.bn.*", "0:[0 1 2 3 4 5 6 7 8 9] 10:[0 part 1 part 2 part 3 part 4 part 5 part 6 part 7 part 8 part 9 part]", ""},
		{"10", "6-9", "", "no epoch"},
		{"10", "x:6-9", "", `"x" is not an epoch from 1 on`},
		{"10", "0:6-9", "", "not an epoch from 1 on"},
		{"10", "-3:6-9", "", "not an epoch from 1 on"},
		{"10", "10:!9", "", "an exclusion unfreezes nothing"},
		{"10", "10:", "", "nothing selected"},
		{"10", "10:@file", "", "file"},
		{"10", "10:15", "", `"unfreeze 10:15" has no effect`},
		{"10", "10:all,20:6-9", "", `"unfreeze 20:6-9" has no effect`},
		{"10", "10:30", "", "no layer 30"},
		{"10", "10:bakbone", "", "matches no parameter"},
		{"", "10:all", "", "has no effect"},
		{"all", "10:head", "", "freezes everything"},
	}
	for _, c := range cases {
		t.Run(c.freeze+" "+c.unfreeze, func(t *testing.T) {
			selectors, err := Parse([]string{c.freeze})
			if err != nil {
				t.Fatal(err)
			}
			schedule, err := ParseSchedule([]string{c.unfreeze})
			var stages []Stage
			if err == nil {
				stages, err = Stages(yolov5n(), selectors, schedule)
			}
			if c.failure != "" {
				if err == nil || !strings.Contains(err.Error(), c.failure) {
					t.Fatalf("error %v, want %q", err, c.failure)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range stages {
				got = append(got, fmt.Sprintf("%d:%s", s.Epoch, frozenLayers(s.Plan)))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("stages %v, want %s", got, c.want)
			}
		})
	}
}

func TestStageAt(t *testing.T) {
	selectors, _ := Parse([]string{"10"})
	schedule, _ := ParseSchedule([]string{"10:6-9", "20:all"})
	stages, err := Stages(yolov5n(), selectors, schedule)
	if err != nil {
		t.Fatal(err)
	}
	for epoch, want := range map[int]int{0: 0, 9: 0, 10: 10, 19: 10, 20: 20, 1000: 20} {
		if got := At(stages, epoch).Epoch; got != want {
			t.Errorf("epoch %d is in the stage of epoch %d, want %d", epoch, got, want)
		}
	}
	e := stages[1].Plan.Entries[stages[1].Plan.entry["model.6.cv1.conv.weight"]]
	if e.Frozen || e.By != "unfreeze 10:6-9" {
		t.Errorf("%+v", e)
	}
	if got := stages[1].Plan.BNMode("model.6.cv1.bn"); got != Batch {
		t.Errorf("unfrozen BatchNorm is %s", got)
	}
}

func TestRates(t *testing.T) {
	cases := []struct {
		scales []string
		decay  float64
		want   map[string]float64
	}{
		{nil, 1, map[string]float64{"model.0.conv.weight": 1, "model.24.m.0.bias": 1}},
		{[]string{"backbone=0.1"}, 1, map[string]float64{"model.0.conv.weight": .1, "model.9.cv1.bn.bias": .1, "model.10.conv.weight": 1}},
		{[]string{"backbone=0.1,9=0.5", "model.24.m=2"}, 1, map[string]float64{"model.8.cv1.conv.weight": .1, "model.9.cv1.bn.bias": .5, "model.24.m.2.bias": 2}},
		{[]string{"all=2", "11-12=3"}, 1, map[string]float64{"model.8.cv1.conv.weight": 2}},
		{nil, .9, map[string]float64{"model.24.m.0.bias": 1, "model.23.cv1.conv.weight": .9, "model.0.conv.weight": math.Pow(.9, 24), "other": 1}},
		{[]string{"backbone=0.1"}, .5, map[string]float64{"model.9.cv1.conv.weight": .1 / (1 << 15), "model.22.x": .25}},
	}
	for _, c := range cases {
		r, err := ratesOf(c.scales, c.decay)
		if err != nil {
			t.Errorf("%v: %v", c.scales, err)
			continue
		}
		for name, want := range c.want {
			if got := r.Of(name); math.Abs(got-want) > 1e-15 {
				t.Errorf("%v, decay %v: %s has factor %v, want %v", c.scales, c.decay, name, got, want)
			}
		}
		if r.Uniform() != (c.scales == nil && c.decay == 1) {
			t.Errorf("%v, decay %v: uniform is %t", c.scales, c.decay, r.Uniform())
		}
	}
	if (Rates{}).Of("model.0.conv.weight") != 1 || !(Rates{}).Uniform() {
		t.Error("the zero Rates scales")
	}
	for _, c := range []struct {
		scale, failure string
		decay          float64
	}{
		{"backbone", "no factor", 1}, {"backbone=", "not a positive number", 1}, {"backbone=0", "not a positive number", 1},
		{"backbone=-1", "not a positive number", 1}, {"backbone=nan", "not a positive number", 1}, {"backbone=inf", "not a positive number", 1},
		{"bakbone=1", "matches no parameter", 1}, {"!9=1", "exclusion", 1}, {"40=1", "no layer 40", 1}, {"=1", "nothing selected", 1},
		{"model.24.anchors=1", "matches no parameter", 1},
		{"", "`lr-decay 0`", 0}, {"", "`lr-decay 1.5`", 1.5}, {"", "`lr-decay NaN`", math.NaN()},
	} {
		if _, err := ratesOf([]string{c.scale}, c.decay); err == nil || !strings.Contains(err.Error(), c.failure) {
			t.Errorf("%q, decay %v: error %v, want %q", c.scale, c.decay, err, c.failure)
		}
	}
}

// TestRatesInPlan: a plan states its rates, line by line and in its file, which repeats them.
func TestRatesInPlan(t *testing.T) {
	p := plan(t, yolov5n(), "5", "")
	if lines := p.RateLines(); lines != nil || strings.Contains(string(p.YAML()), "lr_") {
		t.Errorf("a plan without rates speaks of them: %q", lines)
	}
	var err error
	if p.Rates, err = ratesOf([]string{"backbone=0.1 *.bn.bias=2", "head=0.5"}, 1); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"learning rate x 0.1: 36 tensors of layers 5-9",
		"learning rate x 2: 42 tensors of layers 5-10,13-14,17-18,20-21,23",
		"learning rate x 1: 48 tensors of layers 10,13-14,17-18,20-21,23",
		"learning rate x 0.5: 6 tensors of layer 24",
	}
	if got := p.RateLines(); !slices.Equal(got, want) {
		t.Errorf("lines %q", got)
	}
	text := p.YAML()
	if !strings.Contains(string(text), "lr_scale: [\"backbone=0.1\", \"*.bn.bias=2\", \"head=0.5\"]\nlr_decay: 1\n") {
		t.Errorf("the file says\n%s", text[:400])
	}
	again := plan(t, yolov5n(), "@"+write(t, "freeze.yaml", string(text)), "")
	if !bytes.Equal(again.YAML(), text) || again.Rates.Of("model.3.bn.bias") != 2 || again.Rates.Of("model.3.conv.weight") != 0.1 {
		t.Errorf("given back with @ it became\n%s", again.YAML()[:400])
	}
	for change, failure := range map[string]string{
		"lr_decay: 2":             "`lr-decay 2`",
		"lr_decay: slow":          "lr_decay is not a number",
		"lr_scale: [bakbone=1]":   "`lr-scale bakbone=1` matches no parameter",
		"lr_scale: [backbone]":    "`lr-scale backbone`: no factor",
		"lr_scale: {backbone: 1}": "lr_scale is not a list",
	} {
		changed := strings.Replace(string(plan(t, yolov5n(), "5", "").YAML()), "layers:", change+"\nlayers:", 1)
		if _, err := ParseYAML([]byte(changed)); err == nil || !strings.Contains(err.Error(), failure) {
			t.Errorf("%s: error %v, want %q", change, err, failure)
		}
	}
}

// ratesOf holds the values of option lr-scale against yolov5n.
func ratesOf(values []string, decay float64) (Rates, error) {
	scales, err := ParseScales(values)
	if err != nil {
		return Rates{}, err
	}
	return NewRates(yolov5n(), scales, decay)
}
