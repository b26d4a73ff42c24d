// Package arch holds the tests of the architecture: which package may import
// which, what must stay free of I/O and of the clock, and how long a file may be.
//
// The table in table_test.go is the law; a package that is not in it fails
// the test. It owns no code that anybody else may use.
package arch
