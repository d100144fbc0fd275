package main

import "github.com/urfave/cli/v2"

// Flags that several commands share carry YOLOv5's names, all of them.

func imgszFlag() cli.Flag {
	return &cli.IntFlag{Name: "imgsz", Aliases: []string{"img", "img-size"}, Value: 640, Usage: "image side in `PIXELS`, rounded up to a multiple of the largest stride"}
}

func batchSizeFlag(size int) cli.Flag {
	return &cli.IntFlag{Name: "batch-size", Aliases: []string{"batch"}, Value: size, Usage: "pictures a `BATCH`"}
}

func deviceFlag() cli.Flag {
	return &cli.StringFlag{Name: "device", Value: "auto", Usage: "`DEVICE` to run on: cpu, cuda[:N], webgpu[:N], openvino[:N], a provider's library, or auto"}
}

func providerOptionFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "provider-option", Usage: "`KEY=VALUE` for the device's execution provider, such as gpu_mem_limit=4294967296 or use_tf32=0"}
}
