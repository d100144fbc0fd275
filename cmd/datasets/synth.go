package datasets

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/dataset/synth"
)

func synthCommand() *cli.Command {
	return &cli.Command{
		Name:  "synth",
		Usage: "draw a data set of simple shapes",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FOLDER` to write; must not exist or be empty"},
			&cli.StringFlag{Name: "shapes", Value: "plain", Usage: "`NAMES` of shapes or families (" +
				strings.Join(slices.Sorted(maps.Keys(synth.Families)), ", ") + "): " + strings.Join(synth.Names(), ", ")},
			&cli.IntFlag{Name: "train", Value: 128, Usage: "`N` pictures for training"},
			&cli.IntFlag{Name: "val", Value: 32, Usage: "`N` pictures for validation"},
			&cli.IntFlag{Name: "imgsz", Aliases: []string{"img", "img-size"}, Value: 160, Usage: "side in `PIXELS`"},
			&cli.IntFlag{Name: "max-objects", Value: 4, Usage: "at most `N` objects a picture"},
			&cli.Uint64Flag{Name: "seed", Usage: "`NUMBER` that everything is drawn from"},
			&cli.BoolFlag{Name: "jpeg", Usage: "JPEG pictures instead of PNG"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 0, 0); err != nil {
				return err
			}
			if err := checkOutput(c); err != nil {
				return err
			}
			for _, name := range []string{"train", "val", "imgsz", "max-objects"} {
				if c.Int(name) < 1 {
					return term.Usagef("dataset synth: --%s %d: want at least 1", name, c.Int(name))
				}
			}
			shapes, err := synth.Parse(c.String("shapes"))
			if err != nil {
				return term.Usagef("dataset synth: --shapes: %v", err)
			}
			counts := map[string]int{"train": c.Int("train"), "val": c.Int("val")}
			o := synth.Options{Shapes: shapes, Counts: counts, Size: c.Int("imgsz"), MaxObjects: c.Int("max-objects"), Seed: c.Uint64("seed"), JPEG: c.Bool("jpeg")}
			if err := synth.Write(c.String("output"), o); err != nil {
				return fmt.Errorf("drawing data set: %w", err)
			}
			r := written{c.String("output"), "yolo", shapes, counts}
			return term.Of(c).Result(r, r.write)
		},
	}
}
