package pass

import "slices"

// Target is who runs a graph, as far as it is written otherwise for one provider than for others.
type Target int

const (
	AnyProvider Target = iota
	CPUProvider        // without kernels of 16 bits: products are rounded instead
	WebGPU             // with lowerings of its own
	CUDA               // with sums as its own kernels take them
)

// lowerings are the passes that graphs for a provider want besides those of Standard;
// providers that are not listed need none.
var lowerings = map[Target][]Pass{
	// What the CUDA provider computes, but slowly.
	CUDA: {
		{"split-reductions", SplitReductions},
		{"join-affine", JoinAffine},
	},
	// What the WebGPU plugin 0.4.0 leaves to the CPU provider, a copy each way, or does wrongly.
	WebGPU: {
		{"lower-maxpool-indices", LowerMaxPoolIndices},
		{"lower-sign", LowerSign},
		{"lower-spacetodepth", LowerSpaceToDepth},
		{"own-scatter-data", OwnScatterData},
	},
}

// For returns the passes of graphs for a provider.
func For(target Target) []Pass {
	i := slices.IndexFunc(Standard, func(p Pass) bool { return p.Name == "fold-constants" })
	return slices.Concat(Standard[:i], lowerings[target], Standard[i:])
}
