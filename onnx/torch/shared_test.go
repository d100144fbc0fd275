package torch

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSharedWork: what a small file shares many times over is not worked on as often.
func TestSharedWork(t *testing.T) {
	var names, many, entries strings.Builder
	for i := range 20_000 {
		names.WriteString(str(fmt.Sprint("b", i)))
		many.WriteString(str(fmt.Sprint("w", i)) + "h\x00")
		if i >= 18_000 {
			entries.WriteString(str(fmt.Sprint("b", i)) + "h\x00")
		}
	}
	weight := rebuilt(pid("FloatStorage", "0", 1<<18), 0, nums(1<<18), nums(1)) + "q\x00"
	views := strings.Builder{}
	for i := range 5_000 {
		views.WriteString(str(fmt.Sprint("v", i)) + rebuilt(pid("FloatStorage", "0", 1<<18), 0, nums(1<<18-i), nums(1)))
	}
	module := func(children, more string) string {
		return glob("models.common", "C3") + ")\x81" + dct(str("_parameters"), "}", str("_buffers"), "h\x01", str("_modules"), children,
			str("_non_persistent_buffers_set"), "h\x02") + "b" + more
	}
	var children strings.Builder
	for i := range 400 {
		children.WriteString(str(fmt.Sprint(i)) + module("}", ""))
	}
	shared := weight + "0" + "}(" + entries.String() + "uq\x010" + "\x8f(" + names.String() + "\x90q\x020"
	root := glob("models.yolo", "Model") + ")\x81" + dct(str("_parameters"), "}", str("_buffers"), "}",
		str("_modules"), dct(str("model"), module("}("+children.String()+"u", ""))) + "b"
	for name, c := range map[string]struct{ body, want string }{
		"a tensor by many names":  {weight + "0" + "}(" + many.String() + "u", "share storages"},
		"many views of a storage": {"}(" + views.String() + "u", "share storages"},
		"a set of many modules":   {shared + dct(str("model"), root), "parameters and buffers"},
	} {
		data := deflated(t, record{"data.pkl", proto(c.body)}, record{"data/0", strings.Repeat("\x00", 1<<20)}, record{"version", "3\n"})
		start := time.Now()
		_, err := decode(data)
		// half a minute and more where each share is worked on
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: %d bytes took %v", name, len(data), took)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}
