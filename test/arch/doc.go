// Package arch holds the tests of the architecture: which package may import
// which, what must stay free of I/O and of the clock, how long a file may be,
// and that every path that the documents name exists.
//
// The table in table_test.go is the law; a package that is not in it fails
// the test. It owns no code that anybody else may use.
package arch
