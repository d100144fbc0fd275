package dataset

import (
	"crypto/sha256"
	"sort"
	"sync/atomic"

	"yolofreeze/dataset/picture"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/workers"
)

// CheckOptions says how much Check looks at.
type CheckOptions struct {
	Limits  picture.Limits
	Decode  bool // decode every picture: the header may be sound and the rest not
	Workers int  // pictures at a time; 0 chooses
}

// Check looks for what reading a set does not show and adds it to the report:
// pictures that are in several splits under different names, and, if asked for,
// pictures that cannot be decoded, which it counts as corrupt but leaves in
// place.
func Check(s *Set, o CheckOptions) error {
	filled, err := ReadOptions{Limits: o.Limits, Workers: o.Workers}.Checked()
	if err != nil {
		return err
	}
	all := s.Place()
	if o.Decode {
		problems := make([]error, len(all))
		Each(len(all), filled.Workers, func(i int) {
			_, problems[i] = picture.DecodeInto(all[i].Path, filled.Limits, func(*picture.Image) (*picture.Image, error) { return nil, nil })
		})
		for i, err := range problems {
			if err == nil {
				continue
			}
			s.Report.Add(Problem{File: all[i].Path, Want: withoutPath(err, all[i].Path), Action: "cannot be decoded"})
			s.Report.Corrupt++
			c := s.Report.Splits[all[i].Split]
			c.Corrupt++
			s.Report.Splits[all[i].Split] = c
		}
	}
	s.Report.Shared = sharedPictures(all, filled)
	return nil
}

// Each calls f for 0 … n−1 from several goroutines, most at a time.
func Each(n, most int, f func(i int)) {
	var next atomic.Int64
	var wg workers.Group
	for range min(most, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

// sharedPictures finds pictures that several splits hold, by content. Only
// those of equal length and size are read.
func sharedPictures(all []Placed, o ReadOptions) []Shared {
	type look struct {
		bytes         int64
		width, height int
	}
	looks := make([]look, len(all))
	Each(len(all), o.Workers, func(i int) {
		looks[i] = look{-1, all[i].Width, all[i].Height}
		if f, size, err := picture.Open(all[i].Path, o.Limits.MaxBytes); err == nil {
			f.Close()
			looks[i].bytes = size
		}
	})
	groups := map[look][]int{}
	for i, k := range looks {
		groups[k] = append(groups[k], i)
	}
	var read []int
	for k, group := range groups {
		if k.bytes >= 0 && severalSplits(all, group) {
			read = append(read, group...)
		}
	}
	sums := make([][sha256.Size]byte, len(all))
	Each(len(read), o.Workers, func(i int) {
		data, err := disk.ReadAll(picture.Open(all[read[i]].Path, o.Limits.MaxBytes))
		if err != nil {
			data = []byte(all[read[i]].Path) // unlike any other
		}
		sums[read[i]] = sha256.Sum256(data)
	})
	same := map[[sha256.Size]byte][]int{}
	for _, i := range read {
		same[sums[i]] = append(same[sums[i]], i)
	}
	var out []Shared
	for _, group := range same {
		if severalSplits(all, group) {
			out = append(out, sharedOf(all, group))
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Paths[0] < out[j].Paths[0] })
	return out
}

func severalSplits(all []Placed, group []int) bool {
	for _, i := range group {
		if all[i].Split != all[group[0]].Split {
			return true
		}
	}
	return false
}

func sharedOf(all []Placed, group []int) Shared {
	paths, splits := map[string]bool{}, map[string]bool{}
	for _, i := range group {
		paths[all[i].Path], splits[all[i].Split] = true, true
	}
	return Shared{sortedKeys(paths), sortedKeys(splits)}
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
