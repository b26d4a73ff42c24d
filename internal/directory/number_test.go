package directory_test

import (
	"testing"

	"mailmirror/internal/directory"
)

// TestProtects: a number is protected however it is written, as a directory finds
// its entry however it is asked for.
func TestProtects(t *testing.T) {
	t.Parallel()
	m := directory.Mapping{Protected: []string{"0", "Admin", "Söhne und  Töchter", "\xffA", "(cn=x)"}}
	for number, want := range map[string]bool{
		"0": true, "00": false, "Admin": true, "aDMIN": true, " admin ": true, "admins": false, "SÖHNE UND TÖCHTER": true,
		"Söhneund Töchter": false, "\xffa": true, "\xfea": false, "(cn=x)": false, "cn=x": false, "": false,
	} {
		if got := m.Protects(number); got != want {
			t.Errorf("%q is protected: %v, want %v", number, got, want)
		}
	}
}
