package freeze_test

import (
	"fmt"

	"yolofreeze/freeze"
)

// A plan says of each parameter whether it trains, by names alone.
func ExampleNew() {
	net := freeze.Network{Layers: 3, Parameters: []freeze.Parameter{
		{Name: "model.0.conv.weight", Shape: []int64{16, 3, 6, 6}},
		{Name: "model.1.conv.weight", Shape: []int64{32, 16, 3, 3}},
		{Name: "model.2.m.0.bias", Shape: []int64{18}},
	}}
	selectors, err := freeze.Parse([]string{"0-1", "!model.1."}) // layers 0 and 1, but not layer 1 after all
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := freeze.New(net, selectors)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("frozen:", plan.FrozenNames())
	fmt.Println("trains:", plan.TrainableNames())
	// Output:
	// frozen: [model.0.conv.weight]
	// trains: [model.1.conv.weight model.2.m.0.bias]
}
