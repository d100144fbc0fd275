package disk

// InputError is an error of an input file, which it names.
type InputError struct {
	Path string
	Err  error
}

func (e *InputError) Error() string { return e.Path + ": " + e.Err.Error() }

func (e *InputError) Unwrap() error { return e.Err }

func (e *InputError) BadInput() bool { return true }
