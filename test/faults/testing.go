package faults

// TB is the part of testing.TB that ProxyT needs. Naming it here keeps the
// testing package out of binaries that use proxies.
type TB interface {
	Helper()
	Cleanup(func())
	Fatal(args ...any)
}

// ProxyT starts a proxy before a server for one test and closes it when the
// test ends.
func ProxyT(t TB, target string) *Proxy {
	t.Helper()
	p, err := NewProxy(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}
