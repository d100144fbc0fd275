package picture

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"testing"
)

// recordedImages reads the [height, width, 3] uint8 tensors of a safetensors
// file.
func recordedImages(t testing.TB, path string) map[string]*Image {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(data)
	header := map[string]struct {
		Dtype   string
		Shape   []int
		Offsets [2]int `json:"data_offsets"`
	}{}
	if err := json.Unmarshal(data[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	out := map[string]*Image{}
	for name, h := range header {
		if h.Dtype == "U8" && len(h.Shape) == 3 {
			pix := data[8+n:][h.Offsets[0]:h.Offsets[1]]
			out[name] = &Image{Width: h.Shape[1], Height: h.Shape[0], Pix: pix}
		}
	}
	return out
}

// difference compares two pictures of one size: mean and largest difference,
// and the share of samples that differ.
func difference(t testing.TB, got, want *Image) (mean float64, most int, share float64) {
	t.Helper()
	if got.Width != want.Width || got.Height != want.Height {
		t.Fatalf("size %dx%d, want %dx%d", got.Width, got.Height, want.Width, want.Height)
	}
	sum, differ := 0, 0
	for i, w := range want.Pix {
		d := int(got.Pix[i]) - int(w)
		if d < 0 {
			d = -d
		}
		if d > 0 {
			differ++
		}
		sum += d
		most = max(most, d)
	}
	n := float64(len(want.Pix))
	return float64(sum) / n, most, float64(differ) / n
}
