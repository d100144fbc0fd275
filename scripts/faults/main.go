// The program faults writes hostile files for scripts/faults.sh: small ones that try to
// take a reader's time or memory, and such as are cut or spoiled at random.
// usage: faults FOLDER SEED NUMBER [SOUND_FILE…]
// NUMBER spoiled copies of each sound file are written beside the made ones. With FOLDER
// alone it writes small.safetensors there, the model of the tests.
package main

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
)

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 2 {
		return small(filepath.Join(args[1], "small.safetensors"))
	}
	if len(args) < 4 {
		return fmt.Errorf("usage: faults FOLDER SEED NUMBER [SOUND_FILE…]")
	}
	seed, err1 := strconv.ParseUint(args[2], 10, 64)
	number, err2 := strconv.Atoi(args[3])
	if err1 != nil || err2 != nil {
		return fmt.Errorf("seed %q, number %q: want numbers", args[2], args[3])
	}
	files := made()
	for _, sound := range args[4:] {
		data, err := os.ReadFile(sound)
		if err != nil {
			return err
		}
		for i := range number {
			name := fmt.Sprintf("spoiled%d-%s", i, filepath.Base(sound))
			files[name] = spoiled(data, rand.New(rand.NewPCG(seed, uint64(i))))
		}
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(args[1], name), data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

func small(path string) error {
	m, err := fixture.Small()
	if err != nil {
		return err
	}
	return model.Save(path, m)
}

// spoiled cuts, flips, repeats or lengthens at random.
func spoiled(data []byte, r *rand.Rand) []byte {
	out := bytes.Clone(data)
	for range 1 + r.IntN(3) {
		at := r.IntN(len(out))
		switch r.IntN(4) {
		case 0:
			out = out[:at+1]
		case 1:
			out[at] ^= 1 << r.IntN(8)
		case 2:
			for i := range min(8, len(out)-at) {
				out[at+i] = 0xff
			}
		case 3:
			out = append(out[:at:at], append(bytes.Repeat([]byte{byte(r.Uint32())}, 1+r.IntN(300)), out[at:]...)...)
		}
	}
	return out
}

// made are files that were thought out.
func made() map[string][]byte {
	files := map[string][]byte{}
	text := func(name, content string) { files[name] = []byte(content) }
	repeat := strings.Repeat

	// YAML
	aliases := "n0: &n0 [x, x]\n"
	merges := "n0: &n0 {a: 1}\n"
	for i := 1; i < 40; i++ {
		aliases += fmt.Sprintf("n%d: &n%d [*n%d, *n%d, *n%d]\n", i, i, i-1, i-1, i-1)
		merges += fmt.Sprintf("n%d: &n%d {<<: [*n%d, *n%d], k%d: 1}\n", i, i, i-1, i-1, i)
	}
	text("aliases.yaml", aliases)
	text("merges.yaml", merges)
	text("deep.yaml", "a: "+repeat("[", 50_000))
	text("deep2.yaml", repeat("- ", 50_000)+"x")
	text("number.yaml", "lr0: "+repeat("9", 1_000_000))
	text("flow.yaml", "["+repeat("1,", 400_000)+"]")
	text("forged.yaml", "train: x\nnames: [\"a\\e[2Jb\\nyolofreeze: done\"]\n")

	// safetensors: headers that lie
	header := func(length uint64, json string) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, length), json...)
	}
	files["huge-header.safetensors"] = header(1<<40, "{}")
	files["deep.safetensors"] = header(1<<20, repeat("[", 1<<20))
	overflow := `{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`
	files["overflow.safetensors"] = header(uint64(len(overflow)), overflow)

	// zips and pickles
	files["bomb.pt"] = archive(map[string][]byte{"archive/data.pkl": bytes.Repeat([]byte{'N', '0'}, 30<<20)}, true)
	files["nested.pt"] = archive(map[string][]byte{"archive/data.pkl": []byte("\x80\x02" + repeat("]", 90_000) + repeat("a", 89_999) + ".")}, false)
	laughs := "\x80\x02]q\x00X\x02\x00\x00\x00haa"
	for i := 1; i < 60; i++ {
		laughs += "]q" + string(rune(i)) + "(" + repeat("h"+string(rune(i-1)), 10) + "e"
	}
	files["laughs.pt"] = archive(map[string][]byte{"archive/data.pkl": []byte(laughs + "}X\x03\x00\x00\x00optq\x7f0.")}, false)
	files["system.pt"] = archive(map[string][]byte{"archive/data.pkl": []byte("\x80\x02cposix\nsystem\nX\x0b\x00\x00\x00touch MARKED\x85R.")}, false)
	files["long.pt"] = archive(map[string][]byte{"archive/data.pkl": []byte("\x80\x02X\xff\xff\xff\x7fabc.")}, false)

	// ONNX: protocol buffers that nest, and lengths that lie
	graph := []byte{}
	for range 5000 {
		graph = append(binary.AppendUvarint([]byte{0x3a}, uint64(len(graph))), graph...)
	}
	files["nested.onnx"] = graph
	files["length.onnx"] = []byte{0x08, 0x08, 0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f}
	files["text.onnx"] = []byte(repeat("<html>", 1000))

	// pictures: 60000×60000 in 74 bytes
	var png bytes.Buffer
	png.WriteString("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []byte) {
		body := append([]byte(kind), data...)
		binary.Write(&png, binary.BigEndian, uint32(len(data)))
		png.Write(body)
		binary.Write(&png, binary.BigEndian, crc32.ChecksumIEEE(body))
	}
	chunk("IHDR", []byte{0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60, 8, 2, 0, 0, 0})
	chunk("IDAT", []byte{0x78, 0x9c, 3, 0, 0, 0, 0, 1})
	chunk("IEND", nil)
	files["huge.png"] = png.Bytes()
	files["text.jpg"] = []byte("no picture")
	files["cut.jpg"] = []byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00")

	// XML and JSON
	text("entities.xml", `<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">`+repeat(`<!ENTITY b "&a;&a;">`, 20)+"]><annotation>&b;</annotation>")
	text("deep.xml", "<annotation>"+repeat("<object>", 100_000))
	text("deep.json", `{"images":`+repeat("[", 200_000))
	text("empty.json", "{}")
	return files
}

func archive(records map[string][]byte, deflate bool) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, data := range records {
		h := &zip.FileHeader{Name: name, Method: zip.Store}
		if deflate {
			h.Method = zip.Deflate
		}
		if f, err := w.CreateHeader(h); err == nil {
			f.Write(data)
		}
	}
	w.Close()
	return b.Bytes()
}
