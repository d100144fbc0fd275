package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Split deals all pictures of a set anew: shares[0] of them to train, shares[1]
// to val, shares[2] to test. The shares add up to 1; a split with share 0 is
// left out. Where a picture goes depends on the seed and its file name alone,
// up to rounding at the borders, so the same set is dealt the same way on every
// machine. A picture in several splits is dealt once.
func (s *Set) Split(shares [3]float64, seed uint64) (*Set, error) {
	sum := 0.0
	for i, v := range shares {
		if !(v >= 0 && v <= 1) {
			return nil, fmt.Errorf("share of %s: %g: must be from 0 to 1", SplitNames[i], v)
		}
		sum += v
	}
	if math.Abs(sum-1) > 1e-6 {
		return nil, fmt.Errorf("shares %g, %g and %g: must add up to 1", shares[0], shares[1], shares[2])
	}
	samples, counts := s.dealt(seed)
	out := &Set{Path: s.Path, Names: s.Names, Splits: map[string][]Sample{}}
	out.Report.Splits, out.Report.Unknown = map[string]Counts{}, map[string]int{}
	from, upTo := 0, 0.0
	for i, split := range SplitNames {
		upTo += shares[i]
		to := int(math.Round(upTo * float64(len(samples))))
		if part := samples[from:to]; shares[i] > 0 {
			if len(part) == 0 {
				return nil, fmt.Errorf("share of %s: %g of %d pictures is none", split, shares[i], len(samples))
			}
			slices.SortStableFunc(part, func(a, b Sample) int { return comparePictures(a.Path, b.Path) })
			out.Splits[split] = part
			c := Counts{Pictures: len(part)}
			for _, sample := range part {
				c.Objects += len(sample.Labels)
				c.add(counts[sample.Path])
			}
			out.Report.Splits[split] = c
			out.Report.add(c)
		}
		from = to
	}
	out.finish()
	return out, nil
}

// dealt lists each picture once, shuffled by the seed, and whether it has
// objects.
func (s *Set) dealt(seed uint64) ([]Sample, map[string]Counts) {
	type card struct {
		key    [sha256.Size]byte
		sample Sample
	}
	var cards []card
	counts := map[string]Counts{}
	for _, p := range s.Place() {
		if _, twice := counts[p.Path]; twice {
			continue
		}
		counts[p.Path] = Counts{Found: 1}
		if len(p.Labels) == 0 {
			counts[p.Path] = Counts{Missing: 1}
		}
		text := binary.LittleEndian.AppendUint64(nil, seed)
		cards = append(cards, card{sha256.Sum256(append(text, p.Name...)), *p.Sample})
	}
	slices.SortFunc(cards, func(a, b card) int { return bytes.Compare(a.key[:], b.key[:]) })
	samples := make([]Sample, len(cards))
	for i, c := range cards {
		samples[i] = c.sample
	}
	return samples, counts
}
