package compare

import (
	"cmp"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"yolofreeze/freeze"
	"yolofreeze/freeze/runs"
)

// Group is runs that differ in nothing but the seed.
type Group struct {
	Name   string   `json:"name"`
	Runs   []string `json:"runs"`
	Freeze []string `json:"freeze"` // selectors
	BN     []string `json:"bn"`

	Frozen    runs.Figure `json:"frozen"` // parameters
	Trainable runs.Figure `json:"trainable"`

	Epochs          Spread       `json:"epochs"`
	MAP50           Spread       `json:"map50"`
	MAP             Spread       `json:"map"`
	Seconds         Spread       `json:"seconds"`
	ImagesPerSecond Spread       `json:"images_per_second"`
	PeakRSS         Spread       `json:"peak_rss_bytes"`
	SecondsTo       []Spread     `json:"seconds_to"` // each of the comparison's targets
	Band            []EpochRange `json:"band"`

	members []*Run
}

// EpochRange is a group at one epoch: the mean over its runs, and the mAPs' range.
type EpochRange struct {
	Mean     runs.EpochPoint `json:"mean"`
	MinMAP   runs.Figure     `json:"min_map"`
	MaxMAP   runs.Figure     `json:"max_map"`
	MinMAP50 runs.Figure     `json:"min_map50"`
	MaxMAP50 runs.Figure     `json:"max_map50"`
}

// incidental are options that do not make runs different: the seed, where
// results go, and what only the machine is told.
var incidental = map[string]bool{
	"seed": true, "project": true, "name": true, "exist_ok": true, "save_dir": true, "resume": true, "resume_from": true,
	"workers": true, "local_rank": true, "entity": true, "upload_dataset": true, "bbox_interval": true,
	"artifact_alias": true, "version": true, "bucket": true, "save_period": true, "ndjson_console": true, "ndjson_file": true,
}

// nameRuns makes the names of runs distinct by leading folders.
func nameRuns(runs []*Run) {
	for depth := 2; depth < 8; depth++ {
		count := map[string]int{}
		for _, r := range runs {
			count[r.Name]++
		}
		for _, r := range runs {
			if count[r.Name] > 1 {
				r.Name = lastSegments(r.Dir, depth)
			}
		}
	}
}

func lastSegments(dir string, n int) string {
	segments := strings.Split(filepath.ToSlash(filepath.Clean(dir)), "/")
	return strings.Join(segments[max(len(segments)-n, 0):], "/")
}

// groupRuns gathers runs of equal settings, in the order of their first runs.
func groupRuns(runs []*Run) []*Group {
	differing := differingSettings(runs)
	index := map[string]*Group{}
	var groups []*Group
	for _, r := range runs {
		key := ""
		for _, name := range differing {
			key += r.Settings[name] + "\x00"
		}
		g := index[key]
		if g == nil {
			g = &Group{Freeze: r.Freeze, BN: r.BN}
			index[key], groups = g, append(groups, g)
		}
		g.Runs, g.members = append(g.Runs, r.Name), append(g.members, r)
	}
	nameGroups(groups, differing)
	return groups
}

// differingSettings names the settings that two runs state differently.
func differingSettings(runs []*Run) []string {
	first, differ := map[string]string{}, map[string]bool{}
	for _, r := range runs {
		for name, value := range r.Settings {
			if known, ok := first[name]; !ok {
				first[name] = value
			} else if known != value && !incidental[name] {
				differ[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(differ))
}

var seedSuffix = regexp.MustCompile(`[-_. ]s(eed)?[-_=]?\d+$`)

// nameGroups names groups as their runs are called but for the seed; where that
// does not tell all of them apart, by what differs.
func nameGroups(groups []*Group, differing []string) {
	used := map[string]bool{}
	for _, g := range groups {
		name := seedSuffix.ReplaceAllString(g.Runs[0], "")
		alike := !slices.ContainsFunc(g.Runs[1:], func(run string) bool { return seedSuffix.ReplaceAllString(run, "") != name })
		if alike && !used[name] {
			g.Name, used[name] = name, true
		}
	}
	if slices.ContainsFunc(groups, func(g *Group) bool { return g.Name == "" }) {
		for i, g := range groups {
			g.Name = g.describe(differing)
			if slices.ContainsFunc(groups[:i], func(o *Group) bool { return o.Name == g.Name }) {
				g.Name += " #" + strconv.Itoa(i+1)
			}
		}
	}
	for _, g := range groups {
		for _, r := range g.members {
			r.Group = g.Name
		}
	}
}

// describe words a group's freezing and its differing settings.
func (g *Group) describe(differing []string) string {
	text := freezeLabel(g.Freeze)
	for _, name := range differing {
		if value := g.members[0].Settings[name]; name != "freeze" && value != "" && len(text) < 60 {
			text += ", " + name + " " + value
		}
	}
	return text
}

// changedFreeze stands where selectors would, for a run that had several.
const changedFreeze = "changed on the way"

func freezeLabel(selectors []string) string {
	if nothingFrozen(selectors) {
		return "unfrozen"
	}
	if selectors[0] == changedFreeze {
		return changedFreeze
	}
	return "frozen " + strings.Join(selectors, ",")
}

func nothingFrozen(selectors []string) bool {
	return len(selectors) == 0 || len(selectors) == 1 && (selectors[0] == "0" || selectors[0] == "nothing" || selectors[0] == "")
}

func (g *Group) unfrozen() bool { return nothingFrozen(g.Freeze) }

// SettingDifference is an option or hyperparameter in which groups differ.
type SettingDifference struct {
	Name   string   `json:"name"`
	Values []string `json:"values"` // by group
}

func settingDifferences(groups []*Group) []SettingDifference {
	firsts := make([]*Run, len(groups))
	for i, g := range groups {
		firsts[i] = g.members[0]
	}
	var list []SettingDifference
	for _, name := range differingSettings(firsts) {
		d := SettingDifference{Name: name}
		for _, r := range firsts {
			d.Values = append(d.Values, r.Settings[name])
		}
		list = append(list, d)
	}
	return list
}

// PlanRow is a stretch of layers that each group treats alike.
type PlanRow struct {
	First  int      `json:"first"`
	Last   int      `json:"last"`
	Part   string   `json:"part"`   // backbone, neck or head
	Groups []string `json:"groups"` // "frozen", "trains", "partly", or "" where unknown; a group's own BatchNorm mode follows
}

// planRows lays the freeze plans side by side, layers that are alike in one row.
func planRows(groups []*Group) []PlanRow {
	layers, backbone, head := 0, 0, 0
	for _, g := range groups {
		if p := g.members[0].plan; p != nil {
			layers, backbone, head = max(layers, p.Layers), p.Backbone, p.Head
		}
	}
	var rows []PlanRow
	for layer := range layers {
		row := PlanRow{First: layer, Last: layer, Part: "neck"}
		switch {
		case layer < backbone:
			row.Part = "backbone"
		case layer >= head && head > 0:
			row.Part = "head"
		}
		weights := false
		for _, g := range groups {
			state := layerState(g.members[0].plan, layer)
			weights = weights || state != ""
			row.Groups = append(row.Groups, state)
		}
		if !weights {
			continue // nothing to freeze in Upsample or Concat
		}
		if n := len(rows); n > 0 && rows[n-1].Part == row.Part && slices.Equal(rows[n-1].Groups, row.Groups) {
			rows[n-1].Last = layer
			continue
		}
		rows = append(rows, row)
	}
	return rows
}

// layerState says what a plan does to a layer, "" for one without parameters.
func layerState(p *freeze.Plan, layer int) string {
	if p == nil {
		return ""
	}
	frozen, all := 0, 0
	for _, e := range p.Entries {
		if !e.Buffer && freeze.Layer(e.Name) == layer {
			all++
			if e.Frozen {
				frozen++
			}
		}
	}
	modes := map[freeze.BN]bool{}
	for _, m := range p.BatchNorm {
		if freeze.Layer(m.Name) == layer {
			modes[m.Mode] = true
		}
	}
	state := "trains"
	switch {
	case all == 0:
		return ""
	case frozen == all:
		state = "frozen"
	case frozen > 0:
		state = "partly frozen"
	}
	if len(modes) > 0 {
		list := slices.SortedFunc(maps.Keys(modes), func(a, b freeze.BN) int { return cmp.Compare(a, b) })
		texts := make([]string, len(list))
		for i, m := range list {
			texts[i] = string(m)
		}
		state += ", bn " + strings.Join(texts, "+")
	}
	return state
}
