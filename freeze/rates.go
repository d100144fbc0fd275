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
	Scales []Scale

	net   Network
	decay float64 // per layer below the last one; 0 means 1
}

// Scale is a factor of the learning rate for the parameters that a selector matches.
type Scale struct {
	text   string
	on     Selector
	factor float64
}

// ParseScales reads the values of option lr-scale: selector=factor, apart by commas or
// blanks; integers are single layers. A factor that is not positive is an error.
func ParseScales(values []string) ([]Scale, error) {
	var out []Scale
	for _, v := range values {
		for _, token := range fields(v) {
			s, err := parseScale(token)
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// NewRates holds scales, of which the last match wins, against a network. By the factor of
// option lr-decay each layer trains slower than the one above it (1: none).
// A selector that matches no parameter is an error.
func NewRates(net Network, scales []Scale, decay float64) (Rates, error) {
	net = net.complete()
	r := Rates{Scales: scales, net: net, decay: decay}
	if !(decay > 0 && decay <= 1) {
		return r, usage("`lr-decay %v`: not above 0 and at most 1", decay)
	}
	for _, s := range scales {
		if err := net.fits(s.on); err != nil {
			return r, err
		}
		if !net.hasLayer(s.on) && !s.matchesAny(net) {
			return r, unfit("`lr-scale %s` matches no parameter", s.text).didYouMean(suggest(net, s.on))
		}
	}
	return r, nil
}

func parseScale(token string) (Scale, error) {
	text, number, ok := strings.Cut(token, "=")
	if !ok {
		return Scale{}, usage("`lr-scale %s`: no factor", token).hint("write %s=0.1", token)
	}
	factor, err := strconv.ParseFloat(number, 64)
	if err != nil || !(factor > 0) || math.IsInf(factor, 0) {
		return Scale{}, usage("`lr-scale %s`: %q is not a positive number", token, number).hint("to train nothing there, use `freeze %s`", text)
	}
	on, err := parseOne(text)
	if err == nil && on.Exclude {
		return Scale{}, usage("`lr-scale %s`: an exclusion has no factor", token)
	}
	return Scale{token, on, factor}, err
}

func (s Scale) matchesAny(net Network) bool {
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
	for _, s := range r.Scales {
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
func (r Rates) Uniform() bool { return len(r.Scales) == 0 && r.Decay() == 1 }

// Texts returns the values of option lr-scale, one selector each.
func (r Rates) Texts() []string {
	texts := make([]string, len(r.Scales))
	for i, s := range r.Scales {
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
