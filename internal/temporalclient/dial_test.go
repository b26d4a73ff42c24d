package temporalclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"mailmirror/internal/fault"
	"mailmirror/internal/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// env is an environment for the resolution alone.
type env map[string]string

func (e env) LookupEnv(key string) (string, bool) { v, ok := e[key]; return v, ok }

func (e env) Environ() []string {
	var all []string
	for k, v := range e {
		all = append(all, k+"="+v)
	}
	return all
}

func TestResolve(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.toml")
	cloud := env{
		"TEMPORAL_CONFIG_FILE": none, "TEMPORAL_ADDRESS": "cloud:7233",
		"TEMPORAL_NAMESPACE": "ours", "TEMPORAL_API_KEY": "hush",
	}
	type outcome struct {
		Address, Namespace, Key string
		TLS                     bool
	}
	for _, test := range []struct {
		name string
		o    Options
		env  env
		want outcome
	}{
		{"all from the environment", Options{}, cloud, outcome{"cloud:7233", "ours", "hush", true}},
		{"the same address given", Options{Address: "cloud:7233"}, cloud, outcome{"cloud:7233", "ours", "hush", true}},
		{"another namespace", Options{Namespace: "theirs"}, cloud, outcome{"cloud:7233", "theirs", "hush", true}},
		{"another key", Options{APIKey: seal.NewSecret("psst")}, cloud, outcome{"cloud:7233", "ours", "psst", true}},
		{"the key does not go to another address", Options{Address: "other:7233"}, cloud, outcome{"other:7233", "default", "", false}},
		{"nor to a private server", Options{Address: "cloud:7233", Local: true}, cloud, outcome{"cloud:7233", "default", "", false}},
		{
			"a key without an address is for the address given", Options{Address: "cloud:7233"},
			env{"TEMPORAL_CONFIG_FILE": none, "TEMPORAL_API_KEY": "hush"}, outcome{"cloud:7233", "default", "hush", true},
		},
		{
			"a plain server", Options{Address: "plain:7233"}, env{"TEMPORAL_CONFIG_FILE": none},
			outcome{"plain:7233", "default", "", false},
		},
		{
			"TLS without a key", Options{Address: "safe:7233", TLS: TLS{Enabled: true}}, env{"TEMPORAL_CONFIG_FILE": none},
			outcome{"safe:7233", "default", "", true},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, err := resolve(test.o, test.env)
			if err != nil {
				t.Fatal(err)
			}
			options, err := o.clientOptions()
			if err != nil {
				t.Fatal(err)
			}
			got := outcome{options.HostPort, options.Namespace, o.base.APIKey, options.ConnectionOptions.TLS != nil}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if o.Address != test.want.Address || o.Namespace != test.want.Namespace {
				t.Errorf("resolved options say %s %s", o.Address, o.Namespace)
			}
			again, err := resolve(o, env{"TEMPORAL_ADDRESS": "elsewhere:1"})
			if diff := cmp.Diff(o, again, cmp.AllowUnexported(Options{}), cmpopts.IgnoreUnexported(seal.Secret{})); diff != "" || err != nil {
				t.Errorf("resolving twice (-once +twice): %v\n%s", err, diff)
			}
		})
	}
}

func TestResolveWithoutAnyAddress(t *testing.T) {
	_, err := resolve(Options{}, env{"TEMPORAL_CONFIG_FILE": filepath.Join(t.TempDir(), "none.toml")})
	if !fault.Is(err, fault.Config) || !strings.Contains(fault.HintOf(err), "--data") {
		t.Errorf("got %v (%s)", err, fault.HintOf(err))
	}
}

// serve answers every connection with f until the test ends.
func serve(t *testing.T, l net.Listener, f func(net.Conn)) string {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestDialSaysWhatIsWrong connects to real sockets that are not a Temporal
// frontend in the ways in which addresses are usually wrong.
func TestDialSaysWhatIsWrong(t *testing.T) {
	secure := httptest.NewUnstartedServer(nil) // lends its certificate, for example.com and 127.0.0.1
	secure.StartTLS()
	t.Cleanup(secure.Close)
	certificate := secure.TLS.Certificates[0]
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	tlsServer := func(t *testing.T) string {
		return serve(t, tls.NewListener(listen(t), &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}}),
			func(conn net.Conn) { _ = conn.(*tls.Conn).Handshake() })
	}
	plainServer := func(t *testing.T) string {
		return serve(t, listen(t), func(conn net.Conn) {
			_, _ = conn.Write([]byte("220 mail.example.com ESMTP\r\n"))
			_, _ = bufio.NewReader(conn).ReadByte()
		})
	}
	for _, test := range []struct {
		name   string
		server func(*testing.T) string
		tls    TLS
		kind   fault.Kind
		hint   string
	}{
		{"nobody listens", func(t *testing.T) string {
			l := listen(t)
			defer l.Close()
			return l.Addr().String()
		}, TLS{}, fault.Transient, "is Temporal running"},
		{"another service", plainServer, TLS{}, fault.Config, "no Temporal frontend"},
		{"TLS to a plain port", plainServer, TLS{Enabled: true}, fault.Config, "speaks no TLS"},
		{"plain to a TLS port", tlsServer, TLS{}, fault.Config, "wants TLS"},
		{"unknown CA", tlsServer, TLS{Enabled: true}, fault.Config, "CA that is not known"},
		{"wrong host name", tlsServer, TLS{Enabled: true, CAFile: ca, ServerName: "temporal.example.org"}, fault.Config, "another name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			address := test.server(t)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := Dial(ctx, Options{Address: address, Local: true, TLS: test.tls, Logger: slog.New(slog.DiscardHandler)})
			if fault.KindOf(err) != test.kind || !strings.Contains(fault.HintOf(err), test.hint) {
				t.Errorf("got %s: %v\nhint: %s\nwant %s, %q", fault.KindOf(err), err, fault.HintOf(err), test.kind, test.hint)
			}
		})
	}
	t.Run("missing certificate file", func(t *testing.T) {
		_, err := Dial(t.Context(), Options{Address: "127.0.0.1:1", Local: true, TLS: TLS{Enabled: true, CAFile: "/nonexistent"}})
		if !fault.Is(err, fault.Config) {
			t.Errorf("got %v", err)
		}
	})
}
