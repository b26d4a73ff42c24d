// Package stack runs the whole of Mailmirror on one machine: a private
// PostgreSQL cluster, Temporal's server with its Web UI, and the worker, as
// child processes of `mailmirror up --data DIR`.
//
// It owns the data directory's layout, the ports, and the life of the
// children: who is started after whom, when each is ready, what happens when
// one dies, and that none outlives its parent unnoticed. It must not know what
// the worker does, nor what is kept in the database.
//
// Layout of a data directory DIR:
//
//	lock                  held by the `up` that runs here
//	stack.json            where everything listens (Load reads it)
//	secrets/pgpass        password of the private cluster over TCP, in libpq's format
//	secrets/seal.key      key of the sealed passwords (made by others; see Info.KeyFile)
//	postgres/data         the cluster; postgres/ also holds its Unix socket
//	log/NAME.log          what each child printed; .1 .2 … are earlier starts
//	run/NAME.pid          which process each child is
package stack
