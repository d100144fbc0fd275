package voc

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/onnx/disk"
)

// Write writes a set as one devkit folder with a classes.txt, such that Open
// returns the same boxes to the last bit, but for
// those that leave the picture, which are cut at its edge. VOC has no outlines and no crowds.
// dir must not exist or be empty.
func Write(dir string, set *dataset.Set, o dataset.WriteOptions) error {
	return dataset.WriteFolder(dir, func(tmp string) error {
		if err := dataset.MakeFolders(tmp, "Annotations", "JPEGImages", "ImageSets/Main"); err != nil {
			return err
		}
		ids := map[string]*strings.Builder{}
		for split := range set.Splits {
			ids[split] = &strings.Builder{}
		}
		for _, p := range set.Place() {
			fmt.Fprintln(ids[p.Split], p.Stem())
			if err := o.PutPicture(p.Path, filepath.Join(tmp, "JPEGImages", p.Name)); err != nil {
				return err
			}
			file := filepath.Join(tmp, "Annotations", p.Stem()+".xml")
			if err := disk.Put(file, func(w io.Writer) error { return writeXML(w, set.Names, p) }); err != nil {
				return err
			}
		}
		for split, list := range ids {
			if err := disk.Put(setFile(tmp, split), disk.Bytes([]byte(list.String()))); err != nil {
				return err
			}
		}
		return disk.Put(filepath.Join(tmp, "classes.txt"), disk.Bytes([]byte(strings.Join(set.Names, "\n")+"\n")))
	})
}

func writeXML(out io.Writer, names []string, p dataset.Placed) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "<annotation>\n\t<filename>%s</filename>\n", escape(p.Name))
	fmt.Fprintf(w, "\t<size>\n\t\t<width>%d</width>\n\t\t<height>%d</height>\n\t\t<depth>3</depth>\n\t</size>\n", p.Width, p.Height)
	for _, l := range p.CutLabels() {
		writeObject(w, names[l.Class], l, p.Width, p.Height)
	}
	fmt.Fprintln(w, "</annotation>")
	return w.Flush()
}

func writeObject(w io.Writer, name string, l dataset.Label, width, height int) {
	left, top, bw, bh := l.Pixels(width, height)
	v := dataset.FormatBox(l, [4]float64{left + 1, top + 1, left + bw + 1, top + bh + 1}, func(v [4]float64) dataset.Label {
		return toLabel(l.Class, v, width, height)
	})
	difficult := 0
	if l.Difficult {
		difficult = 1
	}
	fmt.Fprintf(w, "\t<object>\n\t\t<name>%s</name>\n\t\t<difficult>%d</difficult>\n\t\t<bndbox>\n", escape(name), difficult)
	for i, edge := range edges {
		fmt.Fprintf(w, "\t\t\t<%s>%s</%s>\n", edge, v[i], edge)
	}
	fmt.Fprint(w, "\t\t</bndbox>\n")
	if l.Conf > 0 {
		fmt.Fprintf(w, "\t\t<confidence>%g</confidence>\n", l.Conf)
	}
	fmt.Fprint(w, "\t</object>\n")
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}
