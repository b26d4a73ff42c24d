//go:build integration

package temporalclient_test

import (
	"strings"
	"testing"

	"mailmirror/internal/fault"
	"mailmirror/internal/stack"
	"mailmirror/internal/stack/stacktest"
	"mailmirror/internal/temporalclient"
)

func TestDialOnTemporal(t *testing.T) {
	running := stacktest.Up(t, stacktest.DataDir(t), func(o *stack.Options) { o.NoWorker = true })
	options := temporalclient.Options{
		Address: running.Info().TemporalAddress, Namespace: running.Info().TemporalNamespace,
		Local: true, Logger: stacktest.Logger(t),
	}
	c, err := temporalclient.Dial(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.GetSearchAttributes(t.Context()); err != nil {
		t.Errorf("use the connection: %v", err)
	}

	t.Run("from the environment", func(t *testing.T) {
		t.Setenv("TEMPORAL_ADDRESS", running.Info().TemporalAddress)
		c, err := temporalclient.Dial(t.Context(), temporalclient.Options{Logger: stacktest.Logger(t)})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
	t.Run("no such namespace", func(t *testing.T) {
		options := options
		options.Namespace = "elsewhere"
		_, err := temporalclient.Dial(t.Context(), options)
		if !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), "has no namespace elsewhere") ||
			!strings.Contains(fault.HintOf(err), "namespace create") {
			t.Errorf("got %v (%s)", err, fault.HintOf(err))
		}
	})
}
