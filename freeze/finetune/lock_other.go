//go:build !unix

package finetune

// lockFolder does nothing here.
func lockFolder(string) (unlock func(), err error) { return func() {}, nil }
