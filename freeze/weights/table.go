// Package weights knows the checkpoints of YOLOv5's releases by their names, and fetches them.
package weights

import "strings"

// Checkpoint is a file of one of YOLOv5's releases, trained on COCO.
type Checkpoint struct {
	Model   string // "yolov5s", or "yolov5s6" for one with four strides (P6)
	Release string // "v7.0"
	SHA256  string // of the file, as Git LFS pointers to it have it; "" where it is not known here
	Bytes   int64  // its length; 0 where it is not known here
}

// Name is the checkpoint's, of all releases: "yolov5s-v7.0".
func (c Checkpoint) Name() string { return c.Model + "-" + c.Release }

// table lists the checkpoints, the newest release first.
var table = []Checkpoint{
	{"yolov5n", "v7.0", "4f180cf23ba0717ada0badd6c685026d73d48f184d00fc159c2641284b2ac0a3", 4062133},
	{"yolov5s", "v7.0", "8b3b748c1e592ddd8868022e8732fde20025197328490623cc16c6f24d0782ee", 14808437},
	{"yolov5m", "v7.0", "beef2600e80c86c23d40a3c74c87de7dd22e9dce0b0c960ee2bf1792698f0f69", 42806829},
	{"yolov5l", "v7.0", "c2323a42865bdc3d8e41795548d695b18593b3c99e9a1a8ee59b37fb46041af2", 93622629},
	{"yolov5x", "v7.0", "9f27a794fa0308e2606f90565164571d6f0a0ba18a3ce2e5e5d323b71c157859", 174114333},
	{Model: "yolov5n6", Release: "v7.0"},
	{Model: "yolov5s6", Release: "v7.0"},
	{Model: "yolov5m6", Release: "v7.0"},
	{Model: "yolov5l6", Release: "v7.0"},
	{Model: "yolov5x6", Release: "v7.0"},
	{"yolov5n", "v6.0", "649e089f59b78ac021025de035b2d9c45dc26e544ea252955d0ffcefc1099e2f", 3952441},
	{"yolov5s", "v6.0", "c3b140f32001a9eec4afa07120b3851eb1b6c2c7c7e7a4303af9eadfacbeb598", 14698491},
	{"yolov5m", "v6.0", "4947bf5605d671037cd4b4cb250e5f52f836c0c5b97c1084aca391997f78d593", 42696883},
	{"yolov5l", "v6.0", "84f0a2d6945dfd65d64b0595ea7b912f6addac32dd23fe77bc3fa6d3c1385f16", 93544491},
	{"yolov5x", "v6.0", "89bd0a9a71639a9b607a82c53cfe2fa1272a867726c68fe2977c80a8f4a08abe", 174025507},
	{"yolov5n6", "v6.0", "beecbbae146f0ad3088a25d8233ae63676d8832fb145ae0b5a4ec7530253064f", 6875229},
	{"yolov5s6", "v6.0", "4fe88758b223855dade937b6243f63c2791e9e2849a86b4468abc494fd78f215", 25663837},
	{"yolov5m6", "v6.0", "ae177092c0a68bf93696b2e8efa3fe24077d6ba1dbca4a19807ae62892f29d7a", 71993357},
	{"yolov5l6", "v6.0", "2edd1b52e4d9a8b1ac88a02b3ed39f0931d3653008f4bcaafb1eb51fc055dc3a", 154206589},
	{"yolov5x6", "v6.0", "6ce5c5bc16f21b0d9beef9c2e5d075728f3ed417fc1a76780e4b3e8aff667105", 282405357},
}

// All lists the checkpoints that are known, the newest release first.
func All() []Checkpoint { return append([]Checkpoint(nil), table...) }

// Named finds a checkpoint by what users write: yolov5s or yolov5s.pt, which mean the newest
// release's, or yolov5s-v6.0 and yolov5s-v6.0.pt.
func Named(text string) (Checkpoint, bool) {
	text = strings.TrimSuffix(text, ".pt")
	for _, c := range table {
		if text == c.Model || text == c.Name() {
			return c, true
		}
	}
	return Checkpoint{}, false
}
