package ort

/*
#include "capi.h"
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// Placed is a node of the model and the provider that runs it.
type Placed struct {
	Provider, Node, Op string
}

// OnCPU tells whether it is the CPU provider.
func (p Placed) OnCPU() bool { return p.Provider == cpuProvider }

// Placement lists which provider runs which node, of the graph as it is after
// the runtime's basic rewrites. The session must have been opened with
// Options.Placement. Of a plugin provider's nodes the runtime leaves out most
// that are where the first search put them (seen with 1.30 and WebGPU); nodes
// that fell back to the CPU provider are all there.
func (s *Session) Placement() ([]Placed, error) {
	var list *unsafe.Pointer
	var n C.size_t
	if err := check(C.capi_subgraphs(s.c, &list, &n)); err != nil {
		return nil, fmt.Errorf("ort: placement of nodes: %w", err)
	}
	var placed []Placed
	for _, subgraph := range unsafe.Slice(list, int(n)) {
		var provider *C.char
		var nodes *unsafe.Pointer
		var count C.size_t
		if err := check(C.capi_subgraph(subgraph, &provider, &nodes, &count)); err != nil {
			return nil, fmt.Errorf("ort: placement of nodes: %w", err)
		}
		for _, node := range unsafe.Slice(nodes, int(count)) {
			var name, op *C.char
			if err := check(C.capi_node(node, &name, &op)); err != nil {
				return nil, fmt.Errorf("ort: placement of nodes: %w", err)
			}
			placed = append(placed, Placed{C.GoString(provider), C.GoString(name), C.GoString(op)})
		}
	}
	return placed, nil
}
