// Package olddata keeps what an installation of an earlier release left: a dump of its
// database, the mail of both its stores, and what its commands showed. The test restores
// it, migrates it to the schema of today, and continues the mirror.
//
// `make olddata RELEASE=NAME` makes the data of the release that is built in bin/, in
// testdata/NAME. Data of a release is never changed.
package olddata
