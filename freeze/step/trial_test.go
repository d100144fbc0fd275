package step

import (
	"errors"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx/ort"
)

func TestTry(t *testing.T) {
	fixture.NeedORT(t)
	if list, err := Try(ort.Device{}); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
	losses, _, err := trialLosses(ort.Options{})
	if err != nil || !(losses[trialSteps-1] < losses[0]) {
		t.Errorf("losses %v, %v: nothing is learnt", losses, err)
	}
	var unfit *ort.Unavailable
	if _, err := Try(ort.Device{Kind: "none.so", Library: "none.so"}); !errors.As(err, &unfit) {
		t.Errorf("a device that is not there: %v", err)
	}
}

func TestTryOnDevice(t *testing.T) {
	if list, err := Try(fixture.Device(t)); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
}
