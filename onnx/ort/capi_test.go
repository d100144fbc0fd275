package ort

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestTable compares the numbers of the C API's functions with the header that
// onnxruntime_go carries in the module cache.
func TestTable(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/yalue/onnxruntime_go").Output()
	if err != nil {
		t.Skipf("the module cache cannot be asked: %v", err)
	}
	header, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "onnxruntime_c_api.h"))
	if err != nil {
		t.Fatal(err)
	}
	places := apiPlaces(t, string(header))
	for _, file := range []string{"capi.h", "native/ort.h"} {
		comparePlaces(t, file, string(header), places)
	}
	members := regexp.MustCompile(`\(\*(?:ORT_API_CALL\* )?(\w+)\)|ORT_API_CALL\* (\w+)\)`)
	orderOf := func(text, begin string) (names []string) {
		_, body, ok := strings.Cut(text, begin)
		if !ok {
			t.Fatalf("no %s", begin)
		}
		body, _, _ = strings.Cut(body, "\n};")
		for _, m := range members.FindAllStringSubmatch(regexp.MustCompile(`//[^\n]*`).ReplaceAllString(body, ""), -1) {
			names = append(names, m[1]+m[2])
		}
		return names
	}
	own, err := os.ReadFile("native/ort.h")
	if err != nil {
		t.Fatal(err)
	}
	got, want := orderOf(string(own), "struct custom_op {"), orderOf(string(header), "struct OrtCustomOp {")
	if len(want) < 20 || !slices.Equal(got, want) {
		t.Errorf("struct custom_op has %v, OrtCustomOp %v", got, want)
	}
}

// comparePlaces holds the numbers of a header of ours against the places.
func comparePlaces(t *testing.T, file, header string, places map[string]string) {
	own, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	used := regexp.MustCompile(`api_(\w+) = (\d+),`).FindAllStringSubmatch(string(own), -1)
	if len(used) < 15 {
		t.Fatalf("only %d functions found in %s", len(used), file)
	}
	for _, m := range used {
		if m[1] == "version" {
			if !strings.Contains(header, "#define ORT_API_VERSION "+m[2]+"\n") {
				t.Errorf("the header is not of API version %s", m[2])
			}
		} else if places[m[1]] != m[2] {
			t.Errorf("%s: %s says place %s, the header %q", m[1], file, m[2], places[m[1]])
		}
	}
}

// TestBegins: a struct that no longer begins as it did says so, and what it is.
func TestBegins(t *testing.T) {
	if err := guardInternals(); err != nil {
		t.Error(err)
	}
	type same struct{ _ *int }
	if err := begins[same]("_", reflect.TypeFor[*int]()); err != nil {
		t.Error(err)
	}
	for err, want := range map[error]string{
		begins[struct{}]("o", nil):                  "begins with nothing, not with the pointer o",
		begins[struct{ o uintptr }]("o", nil):       "begins with o uintptr,",
		begins[struct{ p *int }]("o", nil):          "begins with p *int,",
		begins[same]("o", reflect.TypeFor[*bool]()): "begins with _ *int,",
		begins[struct {
			n int
			o *int
		}]("o", nil): "begins with n int,",
	} {
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "onnxruntime_go is of a version") {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

// apiPlaces numbers the members of struct OrtApi.
func apiPlaces(t *testing.T, header string) map[string]string {
	t.Helper()
	_, body, ok := strings.Cut(header, "\nstruct OrtApi {")
	if !ok {
		t.Fatal("no struct OrtApi in the header")
	}
	body, _, _ = strings.Cut(body, "\n};")
	body = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*`).ReplaceAllString(body, "")
	member := regexp.MustCompile(`ORT_API2_STATUS\(\s*(\w+)|ORT_CLASS_RELEASE\((\w+)\)|\(ORT_API_CALL\*\s*(\w+)\)|ORT_API_T\([^,]+,\s*(\w+)`)
	places := map[string]string{}
	n := 0
	for statement := range strings.SplitSeq(body, ";") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		m := member.FindStringSubmatch(statement)
		if m == nil {
			t.Fatalf("member %d of struct OrtApi is not understood: %s", n, statement)
		}
		name := m[1] + m[3] + m[4]
		if m[2] != "" {
			name = "Release" + m[2]
		}
		places[name] = strconv.Itoa(n)
		n++
	}
	return places
}
