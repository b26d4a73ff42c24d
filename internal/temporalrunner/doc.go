// Package temporalrunner does what operators and the sweep want of Temporal:
// start compares and syncs, wait for them, keep the schedules as configured.
//
// It owns the use of Temporal's client and classifies its errors. It must not
// know the message stores or the database.
package temporalrunner
