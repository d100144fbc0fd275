package freeze

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Step says what trains from the start of an epoch on; epochs count from 0.
type Step struct {
	Epoch  int
	Thawed Selectors
}

// Schedule lists steps by ascending epoch.
type Schedule []Step

// Stage is a plan and the epoch from whose start it holds.
type Stage struct {
	Epoch int
	Plan  *Plan
}

// ParseSchedule reads the values of option unfreeze: epoch:selector, apart by commas
// or blanks (10:6-9,20:all). A selector without an epoch joins the step before
// it; an integer is a single layer.
func ParseSchedule(values []string) (Schedule, error) {
	var out Schedule
	epoch := 0
	for _, v := range values {
		for _, token := range fields(v) {
			text := token
			if number, rest, ok := strings.Cut(token, ":"); ok {
				n, err := strconv.Atoi(number)
				if err != nil || n < 1 {
					return nil, usage("`unfreeze %s`: %q is not an epoch from 1 on", token, number).hint("write 10:6-9,20:all")
				}
				epoch, text = n, rest
			}
			if epoch == 0 {
				return nil, usage("`unfreeze %s`: no epoch", token).hint("write 10:%s", token)
			}
			s, err := parseOne(text)
			if err != nil {
				return nil, err
			}
			if s.Exclude {
				return nil, usage("`unfreeze %s`: an exclusion unfreezes nothing", token).hint("layers that a step does not name stay as they are")
			}
			s.Exclude, s.Text = true, "unfreeze "+strconv.Itoa(epoch)+":"+text
			out = out.add(epoch, s)
		}
	}
	slices.SortStableFunc(out, func(a, b Step) int { return cmp.Compare(a.Epoch, b.Epoch) })
	return out, nil
}

func (s Schedule) add(epoch int, thawed Selector) Schedule {
	for i := range s {
		if s[i].Epoch == epoch {
			s[i].Thawed = append(s[i].Thawed, thawed)
			return s
		}
	}
	return append(s, Step{epoch, Selectors{thawed}})
}

// Stages makes the plan of every stage of a run: the first from epoch 0 as New
// makes it, one more for each step. A step that unfreezes nothing is an error.
func Stages(net Network, selectors Selectors, schedule Schedule, policies ...Policy) ([]Stage, error) {
	first, err := New(net, selectors, policies...)
	if err != nil {
		return nil, err
	}
	stages := []Stage{{0, first}}
	selectors = slices.Clone(selectors)
	for _, step := range schedule {
		selectors = append(selectors, step.Thawed...)
		plan, err := build(net, selectors, policies)
		if err != nil {
			return nil, err
		}
		stages = append(stages, Stage{step.Epoch, plan})
	}
	return stages, nil
}

// At returns the stage that holds during an epoch.
func At(stages []Stage, epoch int) Stage {
	var now Stage
	for _, s := range stages {
		if s.Epoch <= epoch {
			now = s
		}
	}
	return now
}
