package freeze

import (
	"math"
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
	on     Selector
	factor float64
}

// NewRates reads the values of --lr-scale (selector=factor, apart by commas or
// blanks, the last match wins; integers are single layers) and the factor of
// --lr-decay, by which each layer trains slower than the one above it (1: none).
// A selector that matches no parameter and a factor that is not positive are errors.
func NewRates(net Network, scales []string, decay float64) (Rates, error) {
	net = net.complete()
	r := Rates{net: net, decay: decay}
	if !(decay > 0 && decay <= 1) {
		return r, usage("--lr-decay %v: not above 0 and at most 1", decay)
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
				return r, unfit("--lr-scale %s matches no parameter", token).didYouMean(suggest(net, s.on))
			}
			r.scale = append(r.scale, s)
		}
	}
	return r, nil
}

func parseScale(token string) (scaled, error) {
	text, number, ok := strings.Cut(token, "=")
	if !ok {
		return scaled{}, usage("--lr-scale %s: no factor", token).hint("write %s=0.1", token)
	}
	factor, err := strconv.ParseFloat(number, 64)
	if err != nil || !(factor > 0) || math.IsInf(factor, 0) {
		return scaled{}, usage("--lr-scale %s: %q is not a positive number", token, number).hint("to train nothing there, use --freeze %s", text)
	}
	on, err := parseOne(text)
	if err == nil && on.Exclude {
		return scaled{}, usage("--lr-scale %s: an exclusion has no factor", token)
	}
	return scaled{on, factor}, err
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
func (r Rates) Uniform() bool { return len(r.scale) == 0 && (r.decay == 0 || r.decay == 1) }
