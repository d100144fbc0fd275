// Command yolofreeze fine-tunes YOLOv5 with frozen layers on a stock ONNX Runtime.
//
// Each command has a file cmd_*.go: flags become options, options go into one
// call of a package. Wording, exit codes and output live in term.go; flags from
// the environment and from --config in config.go. This package knows the
// command line and nothing of operators, gradients or optimizers.
package main

import "os"

func main() {
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}
