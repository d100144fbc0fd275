package model_test

import (
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
)

func TestFrozenPrefixes(t *testing.T) {
	m := fixture.SmallModel(t)
	for selectors, want := range map[string]string{
		"0":                      "",
		"1":                      "model.0",
		"backbone,!model.1.cv1":  "model.0,model.1.cv2,model.1.m,model.1.cv3,model.2",
		"*.bias":                 "model.0.bn.bias,model.1.cv1.bn.bias,model.1.cv2.bn.bias,model.1.m.0.cv1.bn.bias,model.1.m.0.cv2.bn.bias,model.1.cv3.bn.bias,model.2.cv1.bn.bias,model.2.cv2.bn.bias,model.3.bn.bias,model.4.m.0.bias",
		"0-3,model.4.m.0.weight": "model.0,model.1,model.2,model.3,model.4.m.0.weight",
	} {
		plan, err := m.Plan([]string{selectors}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := model.PlanMetadata(plan)[model.FrozenKey]; got != want {
			t.Errorf("%s: %s, want %s", selectors, got, want)
		}
	}
}
