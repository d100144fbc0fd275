package freeze

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Rates scales the learning rate per parameter. The zero Rates scales nothing.
type Rates struct {
	net   Network
	scale []scaled
	decay float64 // per layer below the last one; 0 means 1
}

type scaled struct {
	text   string
	on     Selector
	factor float64
}

// NewRates reads the values of option lr-scale (selector=factor, apart by commas or
// blanks, the last match wins; integers are single layers) and the factor of
// option lr-decay, by which each layer trains slower than the one above it (1: none).
// A selector that matches no parameter and a factor that is not positive are errors.
func NewRates(net Network, scales []string, decay float64) (Rates, error) {
	net = net.complete()
	r := Rates{net: net, decay: decay}
	if !(decay > 0 && decay <= 1) {
		return r, usage("`lr-decay %v`: not above 0 and at most 1", decay)
	}
	for _, v := range scales {
		for _, token := range fields(v) {
			s, err := parseScale(token)
			if err != nil {
				return r, err
			}
			if err := net.fits(s.on); err != nil {
				return r, err
			}
			if !net.hasLayer(s.on) && !s.matchesAny(net) {
				return r, unfit("`lr-scale %s` matches no parameter", token).didYouMean(suggest(net, s.on))
			}
			r.scale = append(r.scale, s)
		}
	}
	return r, nil
}

func parseScale(token string) (scaled, error) {
	text, number, ok := strings.Cut(token, "=")
	if !ok {
		return scaled{}, usage("`lr-scale %s`: no factor", token).hint("write %s=0.1", token)
	}
	factor, err := strconv.ParseFloat(number, 64)
	if err != nil || !(factor > 0) || math.IsInf(factor, 0) {
		return scaled{}, usage("`lr-scale %s`: %q is not a positive number", token, number).hint("to train nothing there, use `freeze %s`", text)
	}
	on, err := parseOne(text)
	if err == nil && on.Exclude {
		return scaled{}, usage("`lr-scale %s`: an exclusion has no factor", token)
	}
	return scaled{token, on, factor}, err
}

func (s scaled) matchesAny(net Network) bool {
	for _, p := range net.Parameters {
		if !p.Buffer && s.on.matches(net, p.Name) {
			return true
		}
	}
	return false
}

// Of returns the factor for one parameter: its last matching scale, times decay
// to the power of the layers above it. Names outside model.<i>. do not decay.
func (r Rates) Of(name string) float64 {
	factor := 1.0
	for _, s := range r.scale {
		if s.on.matches(r.net, name) {
			factor = s.factor
		}
	}
	if layer := Layer(name); layer >= 0 && r.decay > 0 {
		factor *= math.Pow(r.decay, float64(max(r.net.Layers-1-layer, 0)))
	}
	return factor
}

// Uniform reports whether every parameter has factor 1.
func (r Rates) Uniform() bool { return len(r.scale) == 0 && r.Decay() == 1 }

// Scales returns the values of option lr-scale, one selector each.
func (r Rates) Scales() []string {
	texts := make([]string, len(r.scale))
	for i, s := range r.scale {
		texts[i] = s.text
	}
	return texts
}

// Decay returns the factor of option lr-decay, 1 for none.
func (r Rates) Decay() float64 { return cmp.Or(r.decay, 1) }

// RateLines says how fast the parameters that train do, a line per factor in
// the network's order; nothing where all are alike.
func (p *Plan) RateLines() (lines []string) {
	if p.Rates.Uniform() {
		return nil
	}
	type share struct {
		factor  float64
		tensors int
		layers  []int
	}
	var shares []share
	for _, name := range p.TrainableNames() {
		factor := p.Rates.Of(name)
		i := slices.IndexFunc(shares, func(s share) bool { return s.factor == factor })
		if i < 0 {
			i, shares = len(shares), append(shares, share{factor: factor})
		}
		s := &shares[i]
		s.tensors++
		if layer := Layer(name); layer >= 0 && !slices.Contains(s.layers, layer) {
			s.layers = append(s.layers, layer)
		}
	}
	for _, s := range shares {
		noun := "layers"
		if len(s.layers) == 1 {
			noun = "layer"
		}
		lines = append(lines, fmt.Sprintf("learning rate x %.4g: %d tensors of %s %s", s.factor, s.tensors, noun, ranges(s.layers)))
	}
	return lines
}

// ranges writes ascending numbers as 0-9,13.
func ranges(numbers []int) string {
	var parts []string
	for i := 0; i < len(numbers); {
		first := i
		for i++; i < len(numbers) && numbers[i] == numbers[i-1]+1; i++ {
		}
		part := strconv.Itoa(numbers[first])
		if i > first+1 {
			part += "-" + strconv.Itoa(numbers[i-1])
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}
