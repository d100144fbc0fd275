package datasets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/onnx/disk"
)

// written is a data set that a subcommand wrote; its JSON keys are stable.
type written struct {
	Path     string         `json:"path"`
	Format   string         `json:"format"`
	Names    []string       `json:"names"`
	Pictures map[string]int `json:"pictures"` // by split
}

func (r *written) write(w io.Writer) error {
	var parts []string
	for _, split := range dataset.SplitNames {
		if n, ok := r.Pictures[split]; ok {
			parts = append(parts, fmt.Sprintf("%d %s", n, split))
		}
	}
	_, err := term.Fprintf(w, "%s: %s, %s pictures, %d classes\n", r.Path, r.Format, strings.Join(parts, ", "), len(r.Names))
	return err
}

// WriteFlags are those of subcommands that write a data set.
func WriteFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FOLDER` to write; must not exist or be empty"},
		&cli.StringFlag{Name: "to", Value: format.Formats[0], Usage: "`FORMAT`: " + strings.Join(format.Formats, ", ")},
		&cli.BoolFlag{Name: "link", Usage: "link to the pictures instead of copying them"},
		&cli.StringFlag{Name: "address", Usage: "Label Studio: `URL` before the pictures' names; its local storage unless told"},
	}
}

func outlinesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "outlines", Usage: "YOLO: write outlines where there are any"}
}

// Write writes a set as --to and --output say.
func Write(c *cli.Context, set *dataset.Set, o dataset.WriteOptions) error {
	dir, to := c.String("output"), c.String("to")
	if err := disk.CheckOutput(dir, disk.Inputs{Files: []string{set.Path}, Folders: set.Folders()}); err != nil {
		return err
	}
	term.Of(c).StopGracefully("clearing away what was begun")
	o.Link, o.Address, o.Stop = c.Bool("link"), c.String("address"), func() error { return context.Cause(c.Context) }
	if err := format.Write(to, dir, set, o); err != nil {
		return fmt.Errorf("writing data set: %w", err)
	}
	r := written{dir, to, set.Names, map[string]int{}}
	for split, samples := range set.Splits {
		r.Pictures[split] = len(samples)
	}
	return term.Of(c).Result(r, r.write)
}

// CheckWrite refuses a format that is none and a folder that holds something before anything is read.
func CheckWrite(c *cli.Context) error {
	if !slices.Contains(format.Formats, c.String("to")) {
		return term.Usagef("%s: --to %s: want one of %s", flags.Path(c), c.String("to"), strings.Join(format.Formats, ", "))
	}
	return checkOutput(c)
}

// checkOutput refuses a folder that holds something before anything is read.
func checkOutput(c *cli.Context) error {
	if err := flags.Need(c, "output"); err != nil {
		return err
	}
	dir := c.String("output")
	if err := disk.CheckOutput(dir, flags.Inputs(c)); err != nil {
		return err
	}
	if entries, err := os.ReadDir(dir); len(entries) > 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
		return term.BadInputf("--output %s: is there and not an empty folder", dir).Hinted("name a new folder")
	}
	return nil
}

func convertDataCommand() *cli.Command {
	return &cli.Command{
		Name:        "convert",
		Usage:       "write a data set in another format: YOLO, VOC, COCO or Label Studio's",
		ArgsUsage:   "DATA",
		Description: dataUsage,
		Flags:       append(readFlags(outlinesFlag()), WriteFlags()...),
		Action: func(c *cli.Context) error {
			if err := CheckWrite(c); err != nil {
				return err
			}
			set, _, err := readData(c, false)
			if err != nil {
				return err
			}
			reportProblems(term.Of(c), &set.Report)
			return Write(c, set, dataset.WriteOptions{Outlines: c.Bool("outlines")})
		},
	}
}

func splitCommand() *cli.Command {
	return &cli.Command{
		Name:        "split",
		Usage:       "deal a data set's pictures anew to train, val and test",
		ArgsUsage:   "DATA",
		Description: dataUsage + "\nThe same seed deals the same pictures the same way on every machine.",
		Flags: append(readFlags(outlinesFlag()), append(WriteFlags(),
			&cli.StringSliceFlag{Name: "shares", Value: cli.NewStringSlice("0.8", "0.2"), Usage: "`SHARES` of train, val and test, adding up to 1"},
			&cli.Uint64Flag{Name: "seed", Usage: "`NUMBER` that the deal is drawn from"})...),
		Action: func(c *cli.Context) error {
			if err := CheckWrite(c); err != nil {
				return err
			}
			shares, err := readShares(c.StringSlice("shares"))
			if err != nil {
				return err
			}
			set, _, err := readData(c, false)
			if err != nil {
				return err
			}
			reportProblems(term.Of(c), &set.Report)
			dealt, err := set.Split(shares, c.Uint64("seed"))
			if err != nil {
				return term.BadInput(fmt.Errorf("splitting %s: %w", set.Path, err))
			}
			return Write(c, dealt, dataset.WriteOptions{Outlines: c.Bool("outlines")})
		},
	}
}

func readShares(texts []string) (shares [3]float64, err error) {
	sum := 0.0
	for i, text := range texts {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v >= 0 && v <= 1) || i > 2 {
			return shares, term.Usagef("dataset split: --shares %s: want up to three numbers from 0 to 1", strings.Join(texts, ","))
		}
		shares[i], sum = v, sum+v
	}
	if math.Abs(sum-1) > 1e-6 {
		return shares, term.Usagef("dataset split: --shares %s add up to %.4g, not to 1", strings.Join(texts, ","), sum)
	}
	return shares, nil
}
