package telemetry_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"mailmirror/internal/seal"
	"mailmirror/internal/telemetry"
)

func TestJSONLinesAreParsableAndKeepSecretsOut(t *testing.T) {
	var out bytes.Buffer
	log, err := telemetry.NewLogger(&out, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("below the level")
	log.Info("store added", "store", "prod", "password", seal.NewSecret("hunter2"))
	var line map[string]string
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("one JSON line wanted, got %q: %v", out.String(), err)
	}
	if line["store"] != "prod" || line["password"] != "[redacted]" || !strings.HasSuffix(line["time"], "Z") {
		t.Errorf("unexpected line: %v", line)
	}
}

func TestTextLevel(t *testing.T) {
	var out bytes.Buffer
	log, err := telemetry.NewLogger(&out, "warn", "text")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("not shown")
	log.Warn("shown", "link", "dr")
	if got := out.String(); strings.Contains(got, "not shown") || !strings.Contains(got, "msg=shown link=dr") {
		t.Errorf("unexpected log: %q", got)
	}
}

func TestUnknownSettings(t *testing.T) {
	if _, err := telemetry.NewLogger(&bytes.Buffer{}, "loud", "text"); err == nil {
		t.Error("level loud was accepted")
	}
	if _, err := telemetry.NewLogger(&bytes.Buffer{}, "info", "xml"); err == nil {
		t.Error("format xml was accepted")
	}
}
