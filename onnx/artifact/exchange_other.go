//go:build !linux

package artifact

func exchange(a, b string) error { return exchangeByRenames(a, b) }
