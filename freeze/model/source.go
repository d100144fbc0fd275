package model

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"

	"yolofreeze/freeze"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/disk"
)

// loadArtifacts reads the weights of an artifacts folder.
func loadArtifacts(dir string) (*Model, error) {
	m, _, err := OpenArtifacts(dir)
	return m, err
}

// OpenArtifacts reads the weights and the manifest of an artifacts folder. The
// model's Freeze repeats the folder's plan.
func OpenArtifacts(dir string) (*Model, *artifact.Bundle, error) {
	b, err := artifact.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	m, err := checked(OfFile(filepath.Join(dir, artifact.CheckpointFile), b.Checkpoint))
	if err != nil {
		return nil, nil, err
	}
	m.Path, m.Freeze = dir, []string{"@" + filepath.Join(dir, artifact.PlanFile)}
	return m, b, nil
}

// Plan applies selectors and BatchNorm policies, as options freeze and bn take
// them, to the model's tensors: of several branches to those of the newest. No
// selectors: everything trains, but what branches share.
func (m *Model) Plan(selectors, policies []string) (*freeze.Plan, error) {
	if len(m.Net.Branches) > 0 {
		_, own, shared, err := m.Split()
		if err != nil {
			return nil, err
		}
		if len(selectors) == 0 {
			selectors = own.Freeze
		}
		plan, err := own.Plan(selectors, policies)
		if err != nil {
			return nil, err
		}
		return plan, own.CheckShared(plan, shared)
	}
	parsed, err := freeze.Parse(selectors)
	if err != nil {
		return nil, err
	}
	bn, err := freeze.ParseBN(policies)
	if err != nil {
		return nil, err
	}
	net, err := m.Freezable()
	if err != nil {
		return nil, err
	}
	return freeze.New(net, parsed, bn...)
}

// SourceOf names a weights file and its SHA-256: of a folder, its checkpoint's.
func SourceOf(path string) (artifact.Source, error) {
	file := path
	switch {
	case artifact.Is(path):
		file = filepath.Join(path, artifact.CheckpointFile)
	case artifact.IsOnDevice(path):
		file = filepath.Join(path, artifact.StateFile)
	}
	f, _, err := disk.Open(file, math.MaxInt64)
	if err != nil {
		return artifact.Source{}, fmt.Errorf("hash the weights: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return artifact.Source{}, fmt.Errorf("hash the weights %s: %w", file, err)
	}
	return artifact.Source{File: filepath.Base(filepath.Clean(path)), SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}

// Metadata entries that say what weights were made from and under which plan.
const (
	SourceFileKey = MetadataPrefix + "source.file"
	SourceHashKey = MetadataPrefix + "source.sha256"
	FrozenKey     = MetadataPrefix + "frozen"
	BNKey         = MetadataPrefix + "bn"
	PlansKey      = MetadataPrefix + "plans"

	TeacherFileKey = MetadataPrefix + "teacher.file"
	TeacherHashKey = MetadataPrefix + "teacher.sha256"
)

// PlanMetadata says, for the metadata of weights and exports, what was frozen
// (yolofreeze.frozen: prefixes that cover exactly the frozen parameters) and how
// BatchNorm normalised (yolofreeze.bn: the policies).
func PlanMetadata(p *freeze.Plan) map[string]string {
	return map[string]string{
		FrozenKey: strings.Join(frozenPrefixes(p), ","),
		BNKey:     strings.Join(p.Policies, ","),
	}
}

// frozenPrefixes returns the shortest whole-segment prefixes under which every
// parameter is frozen, in the network's order.
func frozenPrefixes(p *freeze.Plan) []string {
	trains := map[string]bool{} // prefixes of parameters that train
	for _, name := range p.TrainableNames() {
		for prefix := range prefixesOf(name) {
			trains[prefix] = true
		}
	}
	var list []string
	seen := map[string]bool{}
	for _, name := range p.FrozenNames() {
		for prefix := range prefixesOf(name) {
			if !trains[prefix] && strings.Contains(prefix, ".") {
				if !seen[prefix] {
					seen[prefix], list = true, append(list, prefix)
				}
				break
			}
		}
	}
	return list
}

// prefixesOf yields model, model.0, model.0.conv, … up to the name itself.
func prefixesOf(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i, c := range name {
			if c == '.' && !yield(name[:i]) {
				return
			}
		}
		yield(name)
	}
}
