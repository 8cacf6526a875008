// Package suture_test tests what the package two levels up does, by its documented interface.
// It is not there because that package is compiled under the import path of the
// original in programs that replace it: a test there that imports it by its own path
// makes their "go mod tidy" fail.
package suture_test
