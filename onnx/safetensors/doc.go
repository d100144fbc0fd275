// Package safetensors reads and writes .safetensors files: named tensors behind
// a JSON header, with nothing in them that could be executed.
//
// The layout is that of the safetensors specification
// (https://github.com/huggingface/safetensors, README.md, "Format"): eight bytes
// little-endian header length, a JSON object, then the elements without holes.
// Everything the specification forbids is refused here, so that a file has one
// reading only.
//
//	f, err := safetensors.Read("best.safetensors")
//	w := f.Tensors["model.0.conv.weight"] // float32 [16 3 6 6]
//	err = safetensors.Write("copy.safetensors", f)
//
// It knows nothing of what the tensors mean, nor of checkpoints of other kinds.
package safetensors
