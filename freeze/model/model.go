package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"yolofreeze/freeze"
	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/torch"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/names"
)

// Model is a network with its weights and class names, whatever file it came from.
type Model struct {
	Path  string
	Net   *yolov5.Network
	State map[string]*onnx.Tensor // float32, by state-dict name
	Names []string                // of the classes, by index

	// Metadata are the yolofreeze.* entries beside the network's description that
	// travel with the weights: what was frozen, what they were made from.
	Metadata map[string]string
	// Freeze are the selectors that the weights come with: those of an artifacts folder.
	Freeze []string

	QDQ *onnx.Model // the evaluation graph of a file of 8-bit integers; nil for others
}

// Notes says what a user should know of how the file was read, in lines.
func (m *Model) Notes() (notes []string) {
	if m.Net.Guess != "" {
		notes = append(notes, "the file does not tell its layers: taken for "+m.Net.Guess)
	}
	if list := BranchInfos(m.Net); list != nil {
		newest := list[len(list)-1]
		notes = append(notes, fmt.Sprintf("%d branches on one trunk: the newest goes on from the first %d layers, and alone trains", len(list), newest.Shared))
	}
	if m.Net.Folded {
		notes = append(notes, "BatchNorm is folded into the convolutions: their kernels and biases train, and no statistics move")
	}
	return notes
}

func loadTorch(path string) (*Model, error) {
	c, err := torch.Load(path)
	if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(filepath.Base(path), "yolov5") {
		err = fmt.Errorf("%w: official checkpoints are attached to YOLOv5's releases", err)
	}
	if err != nil {
		return nil, err
	}
	return modelOfTorch(path, c)
}

func modelOfTorch(path string, c *torch.Checkpoint) (*Model, error) {
	if c.Model == nil {
		return modelOfState(path, TensorsOf(c), "")
	}
	net, state, err := yolov5.FromCheckpoint(c)
	if err != nil {
		return nil, &disk.InputError{Path: path, Err: err}
	}
	m := &Model{Path: path, Net: net, State: state, Names: c.Names}
	return m, m.CheckNames()
}

// CheckNames makes sure that there is a name per class; a file without names gets class0, class1, ….
func (m *Model) CheckNames() error {
	if len(m.Names) == 0 {
		for i := range m.Net.NC {
			m.Names = append(m.Names, fmt.Sprintf("class%d", i))
		}
	}
	if len(m.Names) != m.Net.NC {
		return m.fault(fmt.Errorf("%d class names for nc %d", len(m.Names), m.Net.NC))
	}
	return nil
}

// Metadata entries of yolofreeze's own; ModelKey's describes the network.
const (
	MetadataPrefix = "yolofreeze."
	ModelKey       = MetadataPrefix + "model"
)

// modelInfo is what ModelKey holds, as JSON.
type modelInfo struct {
	Table map[string]any `json:"table"`
	Names []string       `json:"names"`
}

// About describes the network and its classes for ModelKey.
func (m *Model) About() (string, error) {
	text, err := json.Marshal(modelInfo{m.Net.Table, m.Names})
	if err != nil {
		return "", fmt.Errorf("describe the model: %w", err)
	}
	return string(text), nil
}

// File lays the model out as a safetensors file; further metadata may be added to it.
func (m *Model) File() (*safetensors.File, error) {
	about, err := m.About()
	if err != nil {
		return nil, err
	}
	metadata := map[string]string{}
	maps.Copy(metadata, m.Metadata)
	metadata[ModelKey] = about
	if err := m.branchMetadata(metadata); err != nil {
		return nil, err
	}
	return &safetensors.File{
		Metadata: metadata,
		Names:    slices.Sorted(maps.Keys(m.State)),
		Tensors:  maps.Clone(m.State),
	}, nil
}

// Save writes the model as a safetensors file, whole or not at all.
func Save(path string, m *Model) error {
	f, err := m.File()
	if err != nil {
		return err
	}
	return safetensors.Write(path, f)
}

func loadSafetensors(path string) (*Model, error) {
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	if _, ok := f.Metadata[ModelKey]; !ok {
		return modelOfState(path, f.Tensors, "")
	}
	return OfFile(path, f)
}

// OfFile is the model that Save laid out as f, which was read from path.
func OfFile(path string, f *safetensors.File) (*Model, error) {
	text, ok := f.Metadata[ModelKey]
	if !ok {
		return nil, &disk.InputError{Path: path, Err: fmt.Errorf("metadata lacks %s: not a model that yolofreeze saved", ModelKey)}
	}
	m, err := describedModel(path, text)
	if err != nil {
		return nil, err
	}
	if m.State, err = m.Net.Pick(f.Tensors); err != nil {
		return nil, &disk.InputError{Path: path, Err: err}
	}
	m.Metadata = travelling(f.Metadata)
	return m.beside(f)
}

// travelling are a file's entries that belong into Model.Metadata.
func travelling(all map[string]string) map[string]string {
	own := map[string]string{}
	for key, value := range all {
		if strings.HasPrefix(key, MetadataPrefix) && key != ModelKey && key != BranchesKey {
			own[key] = value
		}
	}
	return own
}

// describedModel reads what about wrote: a model without weights.
func describedModel(path, text string) (*Model, error) {
	var info modelInfo
	if err := json.Unmarshal([]byte(text), &info); err != nil {
		return nil, &disk.InputError{Path: path, Err: fmt.Errorf("metadata %s: %w", ModelKey, err)}
	}
	net, err := yolov5.ParseTable(info.Table, len(info.Names))
	if err != nil {
		return nil, &disk.InputError{Path: path, Err: err}
	}
	m := &Model{Path: path, Net: net, Names: info.Names}
	return m, m.CheckNames()
}

// ForClasses returns the model with its head made for the given classes:
// the same model when their number is the same, with names replaced. It names the
// tensors that were initialised afresh. Of several branches the newest has these classes.
func (m *Model) ForClasses(names []string, seed uint64) (*Model, []string, error) {
	if len(m.Net.Branches) > 0 {
		return m.newestForClasses(names, seed)
	}
	net, state, fresh, err := m.Net.Rehead(m.State, len(names), seed)
	if err != nil {
		return nil, nil, m.fault(err)
	}
	metadata := m.Metadata
	if len(fresh) > 0 {
		metadata = map[string]string{}
		maps.Copy(metadata, m.Metadata)
		metadata[headKey] = untrained
	}
	return &Model{Path: m.Path, Net: net, State: state, Names: names, Metadata: metadata, Freeze: m.Freeze}, fresh, nil
}

// WithClasses returns the model with its head made for the given classes, of which those
// that it has keep their weights, by name, as boxes and objectness do. It names the new ones.
func WithClasses(m *Model, names []string, seed uint64) (grown *Model, fresh []string, err error) {
	if slices.Equal(names, m.Names) {
		return m, nil, nil
	}
	from := make([]int, len(names))
	for i, name := range names {
		if from[i] = slices.Index(m.Names, name); from[i] < 0 {
			fresh = append(fresh, name)
		}
	}
	net, state, err := m.Net.Regrow(m.State, from, seed)
	if err != nil {
		return nil, nil, m.fault(err)
	}
	return &Model{Path: m.Path, Net: net, State: state, Names: names, Metadata: m.Metadata, Freeze: m.Freeze}, fresh, nil
}

// The metadata entry of weights whose head nothing has trained yet. Training drops it.
const (
	headKey   = MetadataPrefix + "head"
	untrained = "untrained"
)

// FreshHead tells whether the head's weights are those it was drawn with.
func (m *Model) FreshHead() bool { return m.Metadata[headKey] == untrained }

// Freezable describes the model's tensors to package freeze: of several branches those of
// the newest, which alone trains.
func (m *Model) Freezable() (freeze.Network, error) {
	if len(m.Net.Branches) > 0 {
		_, own, _, err := m.Split()
		if err != nil {
			return freeze.Network{}, err
		}
		return own.Freezable()
	}
	params, err := m.Net.Params()
	if err != nil {
		return freeze.Network{}, err
	}
	n := freeze.Network{Layers: len(m.Net.Layers), Backbone: m.Net.Backbone, Head: m.Net.Head()}
	for _, p := range params {
		n.Parameters = append(n.Parameters, freeze.Parameter{Name: p.Name, Shape: p.Shape, Buffer: p.Kind.Buffer()})
	}
	return n, nil
}

// VersionKey holds the version of the program that wrote a file.
const VersionKey = MetadataPrefix + "version"

// ExportMetadata is what an export says of itself.
func (m *Model) ExportMetadata(source artifact.Source, version string) (map[string]string, error) {
	about, err := m.About()
	if err != nil {
		return nil, err
	}
	all := map[string]string{
		"stride":      strconv.FormatInt(m.Net.MaxStride(), 10),
		"names":       names.Format(m.Names),
		ModelKey:      about,
		SourceFileKey: source.File,
		SourceHashKey: source.SHA256,
		VersionKey:    version,
	}
	for _, key := range []string{FrozenKey, BNKey, headKey, TeacherFileKey, TeacherHashKey} {
		if value, ok := m.Metadata[key]; ok {
			all[key] = value
		}
	}
	return all, m.branchMetadata(all)
}
