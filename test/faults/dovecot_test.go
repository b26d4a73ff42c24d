//go:build integration

package faults_test

import (
	"testing"
	"time"

	"mailmirror/test/corpus"
	"mailmirror/test/faults"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
)

// TestAppendCutAtDovecot shows what each cut means on a real server: what it
// has not got whole it does not store, what it has it stores, whoever hears.
func TestAppendCutAtDovecot(t *testing.T) {
	d := servers.DovecotT(t, servers.DovecotOptions{})
	direct := reader.Store{Addr: d.Addr(), Trusted: d.TrustedName(), Password: d.TrustedPassword()}
	_, deposits := corpus.Mailbox("4001", corpus.Options{Seed: 3, Messages: 10})
	for i := range deposits {
		deposits[i].Folder = "INBOX"
	}
	for name, c := range map[string]struct {
		fault       faults.Fault
		atLeast, to int // messages stored; a reset may lose what was not read yet
	}{
		"inside, reset": {faults.MidAppend(4, 1000, faults.RST), 0, 3},
		"body, closed":  {faults.MidAppend(4, 1000, faults.FIN), 3, 3},
		"last byte":     {faults.AfterLiteral(4, faults.FIN), 3, 3},
		"command":       {faults.AfterCommand("APPEND", 4, faults.FIN), 4, 4},
		"answer lost":   {faults.AfterCommand("APPEND", 4, faults.LoseAnswer), 4, 4},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := faults.NewProxy(d.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			p.Inject(c.fault)
			through := direct
			through.Addr = p.Addr()
			mailbox := "cut-" + name[:4]
			// Two who come to a new mailbox at once make it both, and the later one
			// makes it empty.
			if _, err := direct.Read(t.Context(), mailbox); err != nil {
				t.Fatal(err)
			}
			conn, err := through.Open(t.Context(), mailbox)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.AppendAll(deposits); err == nil {
				t.Error("no error")
			}
			// The server may still be busy with what it got; wait for it.
			got := 0
			for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				all, err := direct.Read(t.Context(), mailbox)
				if err != nil {
					t.Fatal(err)
				}
				if got = all["INBOX"].Count(); got >= c.atLeast {
					break
				}
			}
			if got < c.atLeast || got > c.to {
				t.Errorf("%d messages stored, want %d to %d", got, c.atLeast, c.to)
			}
			if bad := faults.OnlyReads(p.Commands()); len(bad) == 0 {
				t.Error("appends were taken for reading")
			}
		})
	}
}

// TestReaderOnlyReads holds the independent reader itself to the rule for
// production.
func TestReaderOnlyReads(t *testing.T) {
	d := servers.DovecotT(t, servers.DovecotOptions{})
	p, err := faults.NewProxy(d.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := corpus.Fill(t.Context(), reader.Store{Addr: d.Addr(), Trusted: d.TrustedName(), Password: d.TrustedPassword()},
		[]string{"4001"}, corpus.Options{Seed: 1, Messages: 5, Greetings: 1}, 1, nil); err != nil {
		t.Fatal(err)
	}
	through := reader.Store{Addr: p.Addr(), Trusted: d.TrustedName(), Password: d.TrustedPassword(), Separator: "*"}
	all, err := through.Read(t.Context(), "4001")
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := all.Counts(); n != 6 {
		t.Errorf("%d messages", n)
	}
	if bad := faults.OnlyReads(p.Commands()); len(bad) > 0 || len(p.Commands()) < 8 {
		t.Errorf("offending %q of %q", bad, p.Commands())
	}
}
