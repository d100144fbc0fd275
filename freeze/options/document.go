package options

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"yolofreeze/onnx/yaml"
)

// YAML is the text of opt.yaml.
func (o *Options) YAML() ([]byte, error) {
	var text []byte
	for i := range Table {
		key := Table[i].FileKey()
		if key == "" {
			continue
		}
		line, err := entry(key, Table[i].Of(o))
		if err != nil {
			return nil, fmt.Errorf("write option %s: %w", key, err)
		}
		text = append(text, line...)
	}
	return text, nil
}

// entry writes a key and its value, lists on its line.
func entry(key string, value any) ([]byte, error) {
	if sides, ok := value.(Sides); ok {
		size := sides.Size()
		if size.IsSquare() {
			return yaml.Encode(map[string]any{key: size.Width})
		}
		return fmt.Appendf(nil, "%s: [%d, %d]\n", key, size.Height, size.Width), nil
	}
	list, ok := value.(*[]string)
	if !ok {
		return yaml.Encode(map[string]any{key: value})
	}
	text, err := json.Marshal(append([]string{}, *list...))
	return fmt.Appendf(nil, "%s: %s\n", key, text), err
}

// FromYAML reads what YAML wrote; options that it does not name are zero.
func FromYAML(text []byte) (o Options, err error) {
	root, err := yaml.Parse(text)
	if err != nil {
		return o, err
	}
	for _, pair := range root.Pairs {
		i := slices.IndexFunc(Table, func(option Option) bool { return option.FileKey() == pair.Key })
		if i < 0 || pair.Key == "" {
			return o, fmt.Errorf("unknown option %q", pair.Key)
		}
		value := Table[i].Of(&o)
		if sides, ok := value.(Sides); ok {
			err = sides.read(pair.Value)
		} else {
			err = pair.Value.Decode(value)
		}
		if err != nil {
			return o, fmt.Errorf("option %s: %w", pair.Key, err)
		}
	}
	return o, nil
}

// Differences lists the options that differ in a way that a resumed run must not.
func (o *Options) Differences(other *Options) ([]string, error) {
	a, err := o.Named()
	if err != nil {
		return nil, err
	}
	b, err := other.Named()
	if err != nil {
		return nil, err
	}
	for _, option := range Table {
		if option.Free {
			delete(a, option.FileKey())
		}
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if x, y := fmt.Sprint(a[name]), fmt.Sprint(b[name]); x != y {
			list = append(list, fmt.Sprintf("%s was %s, is %s", name, x, y))
		}
	}
	return list, nil
}

// Named lists the options by their names in opt.yaml, hyperparameters as hyp.lr0.
func (o *Options) Named() (map[string]any, error) {
	text, err := o.YAML()
	if err != nil {
		return nil, err
	}
	named := map[string]any{}
	if err := yaml.Decode(text, &named); err != nil {
		return nil, fmt.Errorf("read the options: %w", err)
	}
	hyp, _ := named["hyp"].(map[string]any)
	for name, v := range hyp {
		named["hyp."+name] = v
	}
	delete(named, "hyp")
	return named, nil
}
