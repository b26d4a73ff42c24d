// Package throttle keeps a process within what all processes of an installation
// may use together: sessions, listeners and listings of a store, logins per second,
// and the bandwidth of a link. It also tells the others what it sees of a store:
// slow logins, refused connections, what a listing costs. It takes its share in blocks, so that a mailbox costs no round trip of its own,
// and gives it back when others want it.
//
// It must not know where the shares are kept, nor what a connection is for.
package throttle
