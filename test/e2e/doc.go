// Package e2e tests the whole system on real servers: what an operator's
// commands bring about, and that no kill and no cut loses or doubles a
// message. Its tests carry the tag integration and need the programs in bin/.
package e2e
