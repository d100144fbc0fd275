package pass

import "slices"

// lowerings are the passes that a provider needs besides those of Standard, by
// the kind of device; providers that are not listed need none.
var lowerings = map[string][]Pass{
	// What the WebGPU plugin 0.4.0 leaves to the CPU provider, a copy each way, or does wrongly.
	"webgpu": {
		{"lower-maxpool-indices", LowerMaxPoolIndices},
		{"lower-sign", LowerSign},
		{"lower-spacetodepth", LowerSpaceToDepth},
		{"own-scatter-data", OwnScatterData},
	},
}

// For returns the passes of graphs for a kind of device: cpu, cuda, webgpu,
// openvino, a provider's library; "" is any.
func For(device string) []Pass {
	i := slices.IndexFunc(Standard, func(p Pass) bool { return p.Name == "fold-constants" })
	return slices.Concat(Standard[:i], lowerings[device], Standard[i:])
}
