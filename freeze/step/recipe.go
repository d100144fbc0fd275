package step

import (
	"math"

	"yolofreeze/dataset"
	"yolofreeze/onnx/optim"
)

// NominalBatch is the batch that learning rates and weight decay are made for:
// gradients add up until about so many pictures have contributed.
const NominalBatch = 64

// leastWarmup is the fewest batches that a warm-up takes.
const leastWarmup = 100

// Recipe is YOLOv5's recipe over time: learning rates, momentum, accumulation
// and the decay of the moving average, batch by batch.
type Recipe struct {
	Hyp       dataset.Hyp
	Epochs    int
	Batches   int // of an epoch
	BatchSize int
	Cosine    bool // instead of falling in a straight line
	Adam      bool // warm-up leaves β1 alone
}

// Accumulate returns how many batches a step takes after warm-up.
func (s Recipe) Accumulate() int {
	return max(int(math.RoundToEven(NominalBatch/float64(s.BatchSize))), 1)
}

// WeightDecay returns the decay adapted to the pictures that a step really takes.
func (s Recipe) WeightDecay() float64 {
	return s.Hyp.WeightDecay * float64(s.BatchSize*s.Accumulate()) / NominalBatch
}

// Factor returns what the first learning rate is multiplied by in an epoch, the first being 0.
func (s Recipe) Factor(epoch int) float64 {
	e, all, last := float64(epoch), float64(s.Epochs), s.Hyp.LRF
	if s.Cosine {
		return (1-math.Cos(e*math.Pi/all))/2*(last-1) + 1
	}
	return (1-e/all)*(1-last) + last
}

// warmupBatches returns how many batches the warm-up takes.
func (s Recipe) warmupBatches() int {
	return max(int(math.RoundToEven(s.Hyp.WarmupEpochs*float64(s.Batches))), leastWarmup)
}

// At returns the rates of a batch and how many batches a step then takes.
// batch counts from the start of the run. The rates' EMADecay is left to EMADecay.
func (s Recipe) At(epoch, batch int) (Rates, int) {
	lr := s.Hyp.LR0 * s.Factor(epoch)
	r := Rates{LR: [3]float64{lr, lr, lr}, Momentum: s.Hyp.Momentum}
	n := s.warmupBatches()
	if batch > n {
		return r, s.Accumulate()
	}
	ramp := func(from, to float64) float64 { return (to-from)/float64(n)*float64(batch) + from }
	if batch == n {
		ramp = func(_, to float64) float64 { return to }
	}
	for group := range r.LR {
		from := 0.0
		if optim.Group(group) == optim.Biases {
			from = s.Hyp.WarmupBiasLR
		}
		r.LR[group] = ramp(from, lr)
	}
	if !s.Adam {
		r.Momentum = ramp(s.Hyp.WarmupMomentum, s.Hyp.Momentum)
	}
	return r, max(int(math.RoundToEven(ramp(1, NominalBatch/float64(s.BatchSize)))), 1)
}

// EMADecay returns the decay of the moving average at the n-th optimizer step, the first being 1.
func EMADecay(n int) float64 { return 0.9999 * (1 - math.Exp(-float64(n)/2000)) }
