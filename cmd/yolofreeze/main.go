// Command yolofreeze fine-tunes YOLOv5 with frozen layers on a stock ONNX Runtime.
//
// Each command has a file cmd_*.go: flags become options, options go into one
// call of a package. How flags are read is in cmd/flags; wording, exit codes and output in
// cmd/term; the runs that compare starts in cmd/matrix. This package knows the command line
// and nothing of operators, gradients or optimizers.
package main

import "os"

func main() {
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}
