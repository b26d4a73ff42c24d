// Package control holds every change and every question an operator may put
// to Mailmirror: stores, links, mailboxes, compares, syncs, status, history.
//
// It works over ports that the database, the message stores and Temporal
// implement. It must not know of HTTP, cobra, SQL or IMAP.
package control
