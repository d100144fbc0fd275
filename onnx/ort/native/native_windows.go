// Package native has no kernels on Windows.
package native

import (
	"errors"
	"unsafe"
)

// Load says that there are none.
func Load(string) error { return errors.New("there are no native kernels on Windows") }

// Path is "", since nothing is loaded.
func Path() string { return "" }

// Register is never called, since Load fails.
func Register(unsafe.Pointer, unsafe.Pointer, int) unsafe.Pointer { panic("no native kernels") }
