package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"yolofreeze/freeze"
	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/branch"
)

// Branches are a model's branches, the oldest first, each as a model of its own with
// layers numbered as YOLOv5 numbers them: the model itself where it has but one.
func (m *Model) Branches() ([]*Model, error) {
	if len(m.Net.Branches) == 0 {
		return []*Model{m}, nil
	}
	var list []*Model
	names := m.Names
	for i := range m.Net.Branches {
		net, inAll, err := branch.Of(m.Net, i)
		if err != nil {
			return nil, m.fault(err)
		}
		one := &Model{Path: m.Path, Net: net, State: map[string]*onnx.Tensor{}, Names: names[:net.NC:net.NC], Metadata: m.Metadata}
		names = names[net.NC:]
		params, err := net.Params()
		if err != nil {
			return nil, m.fault(err)
		}
		for _, p := range params {
			if t := m.State[inAll(p.Name)]; t != nil { // a network alone has none
				one.State[p.Name] = t
			}
		}
		list = append(list, one)
	}
	return list, nil
}

// Join returns a model with own's layers, but for the first ones that both share, as
// a further branch: one trunk, and the classes of both. Its metadata are those of own,
// what is frozen among them: all that was there before.
func (m *Model) Join(own *Model, shared int) (*Model, error) {
	if err := m.unknown(own.Names); err != nil {
		return nil, err
	}
	net, inAll, err := branch.Append(m.Net, own.Net, shared)
	if err != nil {
		return nil, m.fault(err)
	}
	joined := &Model{Path: own.Path, Net: net, State: maps.Clone(m.State), Names: slices.Concat(m.Names, own.Names), Metadata: maps.Clone(own.Metadata)}
	for name, t := range own.State {
		if freeze.Layer(name) >= shared {
			joined.State[inAll(name)] = t
		}
	}
	if list := own.Metadata[FrozenKey]; list != "" {
		var frozen []string
		for i := range m.Net.Layers {
			frozen = append(frozen, fmt.Sprintf("model.%d", i))
		}
		for _, prefix := range strings.Split(list, ",") {
			if freeze.Layer(prefix+".") >= shared {
				frozen = append(frozen, inAll(prefix))
			}
		}
		joined.Metadata[FrozenKey] = strings.Join(frozen, ",")
	}
	return joined, nil
}

// unknown refuses names of classes that the model has already.
func (m *Model) unknown(names []string) error {
	for _, name := range names {
		if slices.Contains(m.Names, name) {
			return m.fault(fmt.Errorf("it knows a class %s already: new ones need names of their own", name))
		}
	}
	return nil
}

// Split takes the newest branch off: the model without it, the branch alone, whose
// Freeze holds what it shares, and how many first layers these are. Of a model with one branch
// kept is nil, and own the model.
func (m *Model) Split() (kept, own *Model, shared int, err error) {
	list, err := m.Branches()
	last := len(list) - 1
	if err != nil || last == 0 {
		return nil, m, 0, err
	}
	kept = list[0]
	for i, next := range list[1:last] {
		if kept, err = kept.Join(next, m.Net.Branches[i+1].Shared); err != nil {
			return nil, nil, 0, err
		}
	}
	own, shared = list[last], m.Net.Branches[last].Shared
	own.Freeze = []string{strconv.Itoa(shared)}
	if m.Freeze != nil {
		own.Freeze = m.Freeze
	}
	own.Metadata = maps.Clone(own.Metadata)
	delete(own.Metadata, FrozenKey) // it numbers the layers of all
	return kept, own, shared, nil
}

// NewBranch is the oldest branch with a head drawn afresh for other classes. It names the
// tensors that were drawn.
func (m *Model) NewBranch(names []string, seed uint64) (*Model, []string, error) {
	if err := m.unknown(names); err != nil {
		return nil, nil, err
	}
	list, err := m.Branches()
	if err != nil {
		return nil, nil, err
	}
	oldest := list[0]
	net, err := yolov5.ParseTable(oldest.Net.Table, len(names))
	if err != nil {
		return nil, nil, m.fault(err)
	}
	own := &Model{Path: m.Path, Net: net, State: maps.Clone(oldest.State), Names: names, Metadata: map[string]string{headKey: untrained}}
	return own, net.InitHead(own.State, seed), nil
}

func (m *Model) newestForClasses(names []string, seed uint64) (*Model, []string, error) {
	kept, own, shared, err := m.Split()
	if err != nil {
		return nil, nil, err
	}
	own, fresh, err := own.ForClasses(names, seed)
	if err != nil {
		return nil, nil, err
	}
	joined, err := kept.Join(own, shared)
	if err != nil {
		return nil, nil, err
	}
	joined.Freeze = m.Freeze
	return joined, fresh, nil
}

// CheckShared refuses a plan that would move layers which other branches read.
func (m *Model) CheckShared(plan *freeze.Plan, shared int) error {
	if fixed := plan.FixedPrefix(); fixed < shared {
		return m.fault(fmt.Errorf("its branches share the first %d layers, but %s: `freeze %d` `bn eval` keeps them as they are", shared, plan.Moves(fixed), shared))
	}
	return nil
}

func (m *Model) fault(err error) error { return &disk.InputError{Path: m.Path, Err: err} }

// Where artifacts keep the branches that do not train: beside the one that does, which has
// the names of the plan and of the training graph.
const (
	keptKey   = MetadataPrefix + "kept" // ModelKey of the other branches
	sharedKey = MetadataPrefix + "shared"
)

// FileBeside is File of a branch that trains, with those beside it, of which it shares the
// first layers; OfFile joins them. Without any it is File.
func (m *Model) FileBeside(kept *Model, shared int) (*safetensors.File, error) {
	f, err := m.File()
	if err != nil || kept == nil {
		return f, err
	}
	if f.Metadata[keptKey], err = kept.About(); err != nil {
		return nil, err
	}
	f.Metadata[sharedKey] = strconv.Itoa(shared)
	for _, name := range slices.Sorted(maps.Keys(kept.State)) {
		f.Names = append(f.Names, artifact.KeptPrefix+name)
		f.Tensors[artifact.KeptPrefix+name] = kept.State[name]
	}
	return f, nil
}

// beside joins a branch to those that stand beside it in its file.
func (m *Model) beside(f *safetensors.File) (*Model, error) {
	about, ok := f.Metadata[keptKey]
	if !ok {
		return m, nil
	}
	delete(m.Metadata, keptKey)
	delete(m.Metadata, sharedKey)
	shared, err := strconv.Atoi(f.Metadata[sharedKey])
	if err != nil {
		return nil, m.fault(fmt.Errorf("metadata %s is %q", sharedKey, f.Metadata[sharedKey]))
	}
	kept, err := describedModel(m.Path, about)
	if err != nil {
		return nil, err
	}
	named := map[string]*onnx.Tensor{}
	for name, t := range f.Tensors {
		if own, ok := strings.CutPrefix(name, artifact.KeptPrefix); ok {
			named[own] = t
		}
	}
	if kept.State, err = kept.Net.Pick(named); err != nil {
		return nil, m.fault(fmt.Errorf("branches beside the one that trains: %w", err))
	}
	return kept.Join(m, shared)
}

// BranchInfo is a branch of a model; its JSON keys are stable.
type BranchInfo struct {
	Classes [2]int `json:"classes"` // its first and its last, as columns of the model's rows
	Layers  [2]int `json:"layers"`  // those that it has for itself, the first and the last
	Shared  int    `json:"shared"`  // how many first layers of the oldest branch it goes on from
}

// BranchInfos lists the branches of a network; none where there is one.
func BranchInfos(net *yolov5.Network) (list []BranchInfo) {
	class, layer := 0, 0
	for _, b := range net.Branches {
		list = append(list, BranchInfo{[2]int{class, class + b.NC - 1}, [2]int{layer, b.Head()}, b.Shared})
		class, layer = class+b.NC, b.Head()+1
	}
	return list
}

// BranchClasses lists the classes of the branches that know some of the names, where there
// are others, which find nothing that such data speak of; else nil.
func (m *Model) BranchClasses(known []string) (list []int) {
	for _, b := range BranchInfos(m.Net) {
		if slices.ContainsFunc(m.Names[b.Classes[0]:b.Classes[1]+1], func(name string) bool { return slices.Contains(known, name) }) {
			for c := b.Classes[0]; c <= b.Classes[1]; c++ {
				list = append(list, c)
			}
		}
	}
	if len(list) == m.Net.NC {
		return nil
	}
	return list
}

// BranchesKey says in an export's metadata, as JSON, what BranchInfos lists.
const BranchesKey = MetadataPrefix + "branches"

// branchMetadata adds to an export's metadata which branch is which.
func (m *Model) branchMetadata(all map[string]string) error {
	list := BranchInfos(m.Net)
	if list == nil {
		return nil
	}
	text, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("describe the branches: %w", err)
	}
	all[BranchesKey] = string(text)
	return nil
}
