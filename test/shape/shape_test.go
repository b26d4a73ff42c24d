package shape_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"mailmirror/test/shape"
)

type inner struct {
	Kept   int `json:"kept"`
	hidden int
}

type outer struct {
	inner
	Named  string    `json:"named,omitempty"`
	At     time.Time `json:"at,omitzero"`
	Bytes  []byte
	Own    []*outer       `json:"own"`
	Counts map[string]int `json:"counts"`
	Secret string         `json:"-"`
}

func TestOf(t *testing.T) {
	want := []string{
		"x.kept int", "x.named,omitempty string", "x.at,omitzero time", "x.Bytes bytes", "x.own[] as above", "x.counts{string} int",
	}
	if got := shape.Of("x", reflect.TypeFor[*outer]()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q (%d)", got, want, inner{}.hidden)
	}
}
