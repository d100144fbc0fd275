package safetensors

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// Sum is the checksum of all that a file holds but the metadata entry key, which keeps it.
func Sum(f *File, key string) string {
	h := sha256.New()
	for _, k := range slices.Sorted(maps.Keys(f.Metadata)) {
		if k != key {
			fmt.Fprintf(h, "%q %q\n", k, f.Metadata[k])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Tensors)) {
		t := f.Tensors[name]
		fmt.Fprintf(h, "%q %v %v\n", name, t.DType, t.Shape)
		h.Write(t.Raw)
	}
	return hex.EncodeToString(h.Sum(nil))
}
