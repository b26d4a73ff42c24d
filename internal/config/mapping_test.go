package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mailmirror/internal/config"
	"mailmirror/internal/directory"
)

func mapping(t *testing.T, text string) (directory.Mapping, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mapping.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.LoadMapping(path, directory.DefaultMapping())
}

func TestExampleMappingIsTheDefault(t *testing.T) {
	got, err := config.LoadMapping("../../deploy/mapping.example.toml", directory.DefaultMapping())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(directory.DefaultMapping(), got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the example is not the default (-default +example):\n%s", diff)
	}
}

func TestMappingFileChangesWhatItSays(t *testing.T) {
	got, err := mapping(t, "filter = '(a=b)'\nprotected = ['1']\n[names]\nmailbox_number = 'extension'\nmisc4 = ''\n[needs]\ndescription = ['x', 'y']\n")
	if err != nil {
		t.Fatal(err)
	}
	want := directory.DefaultMapping()
	want.Filter, want.Protected, want.Needs = "(a=b)", []string{"1"}, map[string][]string{"description": {"x", "y"}}
	want.Names[directory.MailboxNumber], want.RDN, want.Login = "extension", "extension", "{extension}"
	delete(want.Names, directory.Misc4)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// What was said of them holds.
	got, err = mapping(t, "rdn = 'cn'\nlogin = '{mail}'\n[names]\nmailbox_number = 'extension'\n")
	if err != nil || got.RDN != "cn" || got.Login != "{mail}" {
		t.Errorf("rdn %q, login %q, %v", got.RDN, got.Login, err)
	}
}

func TestMappingFileTellsEveryFault(t *testing.T) {
	_, err := mapping(t, "base = 'x'\n[names]\nshoe_size = 'y'\nhat_size = 'z'\n[need]\n")
	for _, want := range []string{"line 1: there is no setting base", "setting need", "names.shoe_size: there is no such column; there are mailbox_number, ", "names.hat_size"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if _, err := mapping(t, "filter = \n"); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("what is no TOML: %v", err)
	}
	if _, err := config.LoadMapping("/nowhere", directory.DefaultMapping()); err == nil {
		t.Error("a file that is not there was read")
	}
}
