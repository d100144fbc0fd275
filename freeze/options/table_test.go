package options

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"yolofreeze/dataset"
)

// fileKeys are those of opt.yaml, which scripts of others may read.
const fileKeys = `weights teacher data classes bad_labels bad_images freeze keep_classes bn unfreeze lr_scale lr_decay hyp epochs batch_size imgsz optimizer cos_lr
	teacher_weight patience seed rect image_weights multi_scale single_cls quad mosaic9 close_mosaic noautoanchor autoanchor workers cache cache_features
	feature_type feature_budget device amp provider_options cuda_graph kernels strict_placement noval nosave noplots save_period save_pt project name exist_ok version plans`

// TestOptionsTable: the table lists every option once, and opt.yaml brings back all
// that stands in it.
func TestOptionsTable(t *testing.T) {
	var o Options
	listed := map[any]string{}
	var keys []string
	for _, option := range Table {
		value := option.Of(&o)
		if other, twice := listed[value]; twice {
			t.Errorf("%s and %s are the same value", option.Name, other)
		}
		listed[value] = option.Name
		if sides, ok := value.(Sides); ok {
			listed[sides.Width], listed[sides.Height] = option.Name, option.Name
		}
		if key := option.FileKey(); key != "" {
			keys = append(keys, key)
		}
	}
	if want := strings.Fields(fileKeys); !slices.Equal(keys, want) {
		t.Errorf("keys of opt.yaml are %q, want %q", keys, want)
	}
	fillOptions(t, reflect.ValueOf(&o).Elem(), listed)
	o.ImageHeight = 384               // or the two sides are one
	o.ResumeFrom, o.Force = "", false // of the process, not of the run
	text, err := o.YAML()
	if err != nil {
		t.Fatal(err)
	}
	got, err := FromYAML(text)
	if err != nil || !reflect.DeepEqual(got, o) {
		t.Errorf("read %+v, %v, want %+v, from\n%s", got, err, o, text)
	}
	if again, err := got.YAML(); err != nil || string(again) != string(text) {
		t.Errorf("written again:\n%s, %v, want\n%s", again, err, text)
	}
	if _, err := FromYAML([]byte("epohcs: 3\n")); err == nil || !strings.Contains(err.Error(), `unknown option "epohcs"`) {
		t.Errorf("an unknown option: %v", err)
	}
}

// fillOptions gives each option a value that is not its zero, and misses no field in the table.
func fillOptions(t *testing.T, v reflect.Value, listed map[any]string) {
	for i := range v.NumField() {
		field, name := v.Field(i), v.Type().Field(i).Name
		if v.Type().Field(i).Anonymous {
			fillOptions(t, field, listed)
			continue
		}
		if name == "Withheld" || name == "Reads" {
			continue // nobody asks for it
		}
		if listed[field.Addr().Interface()] == "" {
			t.Errorf("%s is not in the table", name)
		}
		switch field.Kind() {
		case reflect.String:
			field.SetString("a: \"b\" # é, " + name)
		case reflect.Bool:
			field.SetBool(true)
		case reflect.Int:
			field.SetInt(-3)
		case reflect.Uint64:
			field.SetUint(1<<63 + 1)
		case reflect.Float64:
			field.SetFloat(1e-7)
		case reflect.Slice:
			field.Set(reflect.ValueOf([]string{"10", "!model.9.", "a, b", "<&>", "yes"}))
		case reflect.Struct:
			hyp, err := dataset.LoadHyp("VOC")
			if err != nil {
				t.Fatal(err)
			}
			field.Set(reflect.ValueOf(hyp))
		}
	}
}
