//go:build !unix

package picture

import "errors"

func mkfifo(string) error { return errors.ErrUnsupported }
