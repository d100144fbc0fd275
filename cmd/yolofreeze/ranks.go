package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/term"
	"yolofreeze/onnx/collective"
)

// amongRanks has a command run as one of several ranks where a launcher has started them: rank 0
// speaks, or whoever speaks in its place where it is lost, and the process ends here. Without a launcher it runs
// as it is, and ranks is nil.
func amongRanks(c *cli.Context, command func(ranks *collective.Group) error) error {
	if _, size := collective.Launched(); size == 1 {
		return command(nil)
	}
	t := term.Of(c)
	out, messages := t.Out, t.Err
	if rank, _ := collective.Launched(); rank != 0 {
		t.Hush()
		t.Out, t.Err = io.Discard, io.Discard
	}
	ranks, err := collective.Join()
	if err != nil {
		return err
	}
	err = command(ranks)
	code := term.ExitOK
	if err != nil {
		code = term.ExitCode(ended(c.Context, err))
	}
	if err = ranks.Close(err, code); err != nil {
		if ranks.Speaks() {
			t.Out, t.Err = out, messages
		}
		code = t.Fail(ended(c.Context, err))
	}
	os.Exit(ranks.Exit(t.Close(code)))
	return nil
}

// ended is the error that a command has ended with, or the signal behind it.
func ended(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(err, context.Canceled) && cause != nil {
		return cause
	}
	return err
}

// startRanks has this very command run as so many ranks on this host, and ends with their exit code.
func startRanks(c *cli.Context, size int) error {
	t := term.Of(c)
	program, err := ownProgram()
	if err != nil {
		return err
	}
	t.Logf("starting %d ranks on this host", size)
	ranks, err := collective.Start(size, t.RawOut(), t.RawErr(), program, os.Args[1:]...)
	if err != nil {
		return err
	}
	t.StopGracefully("the ranks finish their step, and rank 0 saves")
	done := make(chan struct{})
	go func() {
		select {
		case <-done:
		case <-c.Context.Done():
			by := syscall.SIGTERM
			if s, ok := errors.AsType[term.Interrupted](context.Cause(c.Context)); ok {
				by, _ = s.By.(syscall.Signal)
			}
			ranks.Signal(by)
		}
	}()
	code, err := ranks.Wait()
	close(done)
	if err != nil {
		return err
	}
	if code != term.ExitOK { // of which rank 0 has told
		os.Exit(t.Close(code))
	}
	return nil
}

// ownProgram is the path by which this program was started.
func ownProgram() (string, error) {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		if path, err = os.Executable(); err != nil {
			return "", fmt.Errorf("find this program: %w", err)
		}
	}
	return path, nil
}
