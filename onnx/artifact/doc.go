// Package artifact keeps what a training run starts from as a folder on disk,
// where a person may stop and look:
//
//	training_model.onnx     pictures and matches to losses and gradients; frozen parameters are constants
//	optimizer_model.onnx    clipping, update, moving average
//	eval_model.onnx         pictures to raw outputs, every weight a constant
//	checkpoint.safetensors  all parameters and statistics, with the network's description
//	freeze.yaml             which tensor trains, and why
//	manifest.json           what the folder was made from and for, and every file's checksum
//
// A folder appears and changes whole or not at all. The names are those of
// ONNX Runtime's on-device training
// (https://onnxruntime.ai/docs/api/python/on_device_training/training_artifacts.html),
// the graphs are not: these use standard operators only. OnDevice is the other
// kind of folder, which that training API itself loads.
//
// It knows files, checksums, names and shapes; nothing of networks, of how the
// graphs are made, or of what runs them.
package artifact
