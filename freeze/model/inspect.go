package model

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"yolofreeze/freeze"
	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/torch"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/yolov5/names"
)

// Info is what a model file says of itself; its JSON keys are stable. What the
// file does not tell is empty.
type Info struct {
	Path       string            `json:"path"`
	Kind       string            `json:"kind"`
	NC         int               `json:"nc"`
	Names      []string          `json:"names"`
	Anchors    [][][2]float64    `json:"anchors"` // per level, in pixels
	Strides    []int64           `json:"strides"`
	Backbone   int               `json:"backbone"` // layers 0 … backbone-1
	Folded     bool              `json:"folded"`   // BatchNorm is folded into the convolutions
	Notes      []string          `json:"notes,omitempty"`
	Branches   []BranchInfo      `json:"branches,omitempty"` // where there are several
	Layers     []LayerInfo       `json:"layers"`
	Parameters []ParameterInfo   `json:"parameters"` // statistics too, in the network's order
	Counts     freeze.Summary    `json:"counts"`
	Metadata   map[string]string `json:"metadata"`
	Opset      int64             `json:"opset,omitempty"`
	Inputs     []PortInfo        `json:"inputs,omitempty"`
	Outputs    []PortInfo        `json:"outputs,omitempty"`

	Graph *onnx.Model `json:"-"` // of an .onnx file
}

// LayerInfo is one layer of the model's table. Of an .onnx file without a
// table only the name and the elements are known.
type LayerInfo struct {
	Index     int    `json:"index"`
	Name      string `json:"name"`
	Module    string `json:"module"`
	From      []int  `json:"from"`
	Repeat    int    `json:"repeat"`
	Channels  int64  `json:"channels"`
	Elements  int64  `json:"elements"`
	Trainable bool   `json:"trainable"` // some of its parameters train
}

// ParameterInfo is one tensor.
type ParameterInfo struct {
	Name      string  `json:"name"`
	Shape     []int64 `json:"shape"`
	DType     string  `json:"dtype"` // as the file has it
	Trainable bool    `json:"trainable"`
	Buffer    bool    `json:"buffer"` // BatchNorm's statistics and other tensors that no gradient reaches
}

// PortInfo is a graph's input or output.
type PortInfo struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []any  `json:"shape"` // int64, or a name where the run decides
}

func inspectTorch(path string) (*Info, error) {
	c, err := torch.Load(path)
	if err != nil {
		return nil, err
	}
	m, err := modelOfTorch(path, c)
	if err != nil {
		return nil, err
	}
	tensors := map[string]*onnx.Tensor{}
	for _, t := range c.State {
		tensors[t.Name] = t.Tensor
	}
	info, err := m.info(KindCheckpoint, tensors, func(string) bool { return false })
	if err != nil {
		return nil, err
	}
	info.Metadata = checkpointMetadata(c)
	return info, nil
}

// checkpointMetadata flattens what a checkpoint says of its making into text.
func checkpointMetadata(c *torch.Checkpoint) map[string]string {
	all := map[string]string{"weights": c.Source, "epoch": strconv.Itoa(c.Epoch)}
	if c.Date != "" {
		all["date"] = c.Date
	}
	if c.BestFitness != 0 {
		all["best_fitness"] = strconv.FormatFloat(c.BestFitness, 'g', -1, 64)
	}
	for prefix, entries := range map[string]map[string]any{"opt.": c.Opt, "git.": c.Git} {
		for key, value := range entries {
			switch value.(type) {
			case string, bool, int64, float64:
				all[prefix+key] = fmt.Sprint(value)
			}
		}
	}
	return all
}

func inspectSafetensors(path string) (*Info, error) {
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	if _, ok := f.Metadata[ModelKey]; !ok { // someone else's: a state dict, or tensors only
		info := &Info{Path: path, Kind: KindSafetensors, Metadata: f.Metadata}
		if m, err := modelOfState(path, f.Tensors, ""); err == nil {
			info.outline(m)
		}
		for _, name := range f.Names {
			info.add(name, f.Tensors[name], false, false)
		}
		return info.counted(), nil
	}
	m, err := OfFile(path, f)
	if err != nil {
		return nil, err
	}
	info, err := m.info(KindSafetensors, f.Tensors, frozenBy(f.Metadata))
	if err != nil {
		return nil, err
	}
	info.Metadata = withoutModel(f.Metadata)
	return info, nil
}

func inspectArtifacts(dir string) (*Info, error) {
	m, b, err := OpenArtifacts(dir)
	if err != nil {
		return nil, err
	}
	frozen := b.Plan.Frozen
	if len(m.Net.Branches) > 0 { // the plan speaks of the newest alone
		frozen = frozenBy(m.Metadata)
	}
	info, err := m.info(KindArtifacts, b.Checkpoint.Tensors, frozen)
	if err != nil {
		return nil, err
	}
	info.Counts.BatchNorm = b.Plan.Summary().BatchNorm
	info.Metadata = withoutModel(b.Checkpoint.Metadata)
	imgsz := strconv.Itoa(b.Manifest.ImgSize)
	if h := b.Manifest.Height; h > 0 {
		imgsz = strconv.Itoa(h) + " " + imgsz
	}
	maps.Copy(info.Metadata, map[string]string{
		"version": b.Manifest.Version, "batch": strconv.Itoa(b.Manifest.Batch), "imgsz": imgsz,
		"optimizer": b.Manifest.Optimizer.Name, "freeze": strings.Join(b.Manifest.Freeze, ","), "bn": strings.Join(b.Manifest.BN, ","),
	})
	return info, nil
}

// withoutModel leaves out the entry that became layers and names.
func withoutModel(metadata map[string]string) map[string]string {
	out := maps.Clone(metadata)
	delete(out, ModelKey)
	return out
}

// frozenBy answers by the prefixes of frozenKey.
func frozenBy(metadata map[string]string) func(name string) bool {
	var prefixes []string
	if list := metadata[FrozenKey]; list != "" {
		prefixes = strings.Split(list, ",")
	}
	return func(name string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return name == p || strings.HasPrefix(name, p+".") })
	}
}

// info describes a model whose file holds tensors.
func (m *Model) info(kind string, tensors map[string]*onnx.Tensor, frozen func(name string) bool) (*Info, error) {
	info := &Info{Path: m.Path, Kind: kind}
	info.outline(m)
	params, err := m.Net.Params()
	if err != nil {
		return nil, m.fault(err)
	}
	for _, p := range params {
		t := tensors[p.Name]
		if t == nil { // the file has it under a longer name
			t = m.State[p.Name]
		}
		info.add(p.Name, t, p.Kind.Buffer(), frozen(p.Name))
	}
	return info.counted(), nil
}

// outline fills in the network: all but its tensors.
func (info *Info) outline(m *Model) {
	info.NC, info.Names, info.Anchors, info.Strides = m.Net.NC, m.Names, m.Net.Anchors, m.Net.Strides
	info.Backbone, info.Folded, info.Notes = m.Net.Backbone, m.Net.Folded, m.Notes()
	info.Branches = BranchInfos(m.Net)
	detects := m.Net.Detects()
	for _, l := range m.Net.Layers {
		out := l.Out
		if l.Kind == "Detect" {
			out = detects[0].Outputs() * int64(len(detects[0].Anchors[0]))
			detects = detects[1:]
		}
		info.Layers = append(info.Layers, LayerInfo{Index: l.Index, Name: l.Name(), Module: l.Kind, From: l.From, Repeat: l.Repeat, Channels: out})
	}
}

func (info *Info) add(name string, t *onnx.Tensor, buffer, frozen bool) {
	info.Parameters = append(info.Parameters, ParameterInfo{name, append([]int64{}, t.Shape...), t.DType.String(), !buffer && !frozen, buffer})
}

// counted fills in counts, of the whole and of the layers.
func (info *Info) counted() *Info {
	if info.Counts.BatchNorm == nil {
		info.Counts.BatchNorm = map[freeze.BN]int{}
	}
	at := map[int]int{}
	for i, l := range info.Layers {
		at[l.Index] = i
	}
	for _, p := range info.Parameters {
		if p.Buffer {
			continue
		}
		count, n := &info.Counts.Frozen, onnx.NumElements(p.Shape)
		if p.Trainable {
			count = &info.Counts.Trainable
		}
		count.Tensors++
		count.Elements += n
		if i, ok := at[freeze.Layer(p.Name)]; ok {
			info.Layers[i].Elements += n
			info.Layers[i].Trainable = info.Layers[i].Trainable || p.Trainable
		}
	}
	return info
}

func inspectONNX(path string) (*Info, error) {
	g, err := wire.Read(path)
	if err != nil {
		return nil, err
	}
	info := &Info{Path: path, Kind: KindONNX, Opset: g.Opset, Metadata: withoutModel(g.Metadata), Graph: g}
	for _, v := range g.Inputs {
		info.Inputs = append(info.Inputs, portOf(v))
	}
	for _, v := range g.Outputs {
		info.Outputs = append(info.Outputs, portOf(v))
	}
	var m *Model
	floats, err := dequantised(path, g)
	if err == nil {
		m, err = modelOfONNX(path, floats)
	}
	if err != nil { // not one to train: what the file says of itself must do
		err := info.describe(g)
		return info.counted(), err
	}
	info.outline(m)
	frozen := frozenBy(g.Metadata)
	if floats != g {
		info.Notes = append(info.Notes, "convolutions on 8-bit integers: it can be validated and detect, not be trained")
		frozen = func(string) bool { return true }
	}
	params, err := m.Net.Params()
	if err != nil {
		return nil, &disk.InputError{Path: path, Err: err}
	}
	for _, p := range params {
		t := m.State[p.Name]
		for _, name := range []string{p.Name, p.Name + pass.IntegersSuffix} { // in the file's own element type
			if v := g.Initializer(name); v != nil {
				t = v.Const
			}
		}
		info.add(p.Name, t, p.Kind.Buffer(), frozen(p.Name))
	}
	return info.counted(), nil
}

// describe reads the classes from the metadata of a graph, and its weights from their names.
func (info *Info) describe(g *onnx.Model) error {
	if text, ok := g.Metadata["names"]; ok {
		names, err := names.Parse(text)
		if err != nil {
			return &disk.InputError{Path: info.Path, Err: fmt.Errorf("metadata: %w", err)}
		}
		info.NC, info.Names = len(names), names
	}
	for _, v := range g.Initializers {
		layer := freeze.Layer(v.Name)
		if layer < 0 { // a constant of the graph, no weight
			continue
		}
		info.add(v.Name, v.Const, false, false)
		if !slices.ContainsFunc(info.Layers, func(l LayerInfo) bool { return l.Index == layer }) {
			info.Layers = append(info.Layers, LayerInfo{Index: layer, Name: fmt.Sprintf("model.%d", layer)})
		}
	}
	return nil
}

func portOf(v *onnx.Value) PortInfo {
	p := PortInfo{Name: v.Name, DType: v.Type.DType.String()}
	for _, d := range v.Type.Shape {
		if d.Known() {
			p.Shape = append(p.Shape, d.Size)
		} else {
			p.Shape = append(p.Shape, d.String())
		}
	}
	return p
}
