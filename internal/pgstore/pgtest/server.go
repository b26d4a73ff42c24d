package pgtest

import "testing"

// Server is a PostgreSQL server of a test's own, which may crash. The machine
// does not crash with it, so what the server has written need not be on the
// disk to survive.
type Server struct {
	cluster *cluster
	running bool
}

// StartServer starts a server that ends with the test. It needs no Main.
func StartServer(t testing.TB) *Server {
	t.Helper()
	c, err := newCluster(false)
	if err != nil {
		t.Fatal("pgtest:", err)
	}
	s := &Server{cluster: c}
	t.Cleanup(func() {
		if s.running {
			s.Crash(t)
		}
		if err := c.remove(); err != nil {
			t.Error("pgtest:", err)
		}
	})
	s.Start(t)
	return s
}

// DSN is the address of an empty database.
func (s *Server) DSN() string { return s.cluster.dsn("postgres") }

// Crash ends the server at once, as a power cut would.
func (s *Server) Crash(t testing.TB) {
	t.Helper()
	s.running = false
	if err := s.cluster.crash(); err != nil {
		t.Fatal("pgtest: crash postgres:", err)
	}
}

// Start starts the server again and waits until it has recovered.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.cluster.start(); err != nil {
		t.Fatal("pgtest:", err)
	}
	s.running = true
}
