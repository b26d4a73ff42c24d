package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"mailmirror/internal/fault"
)

var kinds = []fault.Kind{fault.Transient, fault.Permanent, fault.Conflict, fault.Config}

func TestKindAndHintSurviveWrapping(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			inner := fault.New(kind, "select folder", io.ErrUnexpectedEOF, "look at the server's log")
			for name, err := range map[string]error{
				"itself":         inner,
				"fault.Wrap":     fault.Wrap(fault.Wrap(inner, "look"), "sync mailbox"),
				"fmt.Errorf":     fmt.Errorf("sync: %w", inner),
				"errors.Join":    errors.Join(io.EOF, inner),
				"several verbs":  fmt.Errorf("%w and %w", context.Canceled, inner),
				"wrapped joined": fault.Wrap(errors.Join(inner, io.EOF), "sync"),
			} {
				if got := fault.KindOf(err); got != kind {
					t.Errorf("%s: the kind is %s", name, got)
				}
				for _, k := range kinds {
					if fault.Is(err, k) != (k == kind) {
						t.Errorf("%s: Is(%s) is %v", name, k, k != kind)
					}
				}
				if got := fault.HintOf(err); got != "look at the server's log" {
					t.Errorf("%s: the hint is %q", name, got)
				}
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%s: the cause is lost", name)
				}
				var e *fault.Error
				if !errors.As(err, &e) || e.Op != "select folder" {
					t.Errorf("%s: the error is lost", name)
				}
			}
		})
	}
}

func TestOutermostKindDecides(t *testing.T) {
	inner := fault.New(fault.Permanent, "append", nil, "inner hint")
	outer := fault.New(fault.Conflict, "sync", fmt.Errorf("look: %w", inner), "")
	if got := fault.KindOf(outer); got != fault.Conflict {
		t.Errorf("the kind is %s", got)
	}
	if fault.Is(outer, fault.Permanent) {
		t.Error("an inner kind counts although it was classified anew")
	}
	if got := fault.HintOf(outer); got != "inner hint" {
		t.Errorf("the hint is %q: the first one that is not empty counts", got)
	}
}

func TestHints(t *testing.T) {
	plain := fault.New(fault.Transient, "dial", nil, "")
	hinted := fault.New(fault.Config, "log in", nil, "check the password file")
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"nil":                          {nil, ""},
		"of another package":           {io.EOF, ""},
		"none":                         {plain, ""},
		"of the second that is joined": {errors.Join(plain, hinted), "check the password file"},
		"below a plain one":            {fault.New(fault.Transient, "open", errors.Join(io.EOF, hinted), ""), "check the password file"},
		"the outer before the inner":   {fault.New(fault.Transient, "open", hinted, "start the server"), "start the server"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fault.HintOf(tt.err); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNobodysErrorIsTransient(t *testing.T) {
	for _, err := range []error{io.EOF, context.Canceled, errors.New("odd")} {
		if !fault.Is(err, fault.Transient) {
			t.Errorf("%v is %s", err, fault.KindOf(err))
		}
	}
}

func TestNoErrorIsOfNoKind(t *testing.T) {
	for _, k := range kinds {
		if fault.Is(nil, k) {
			t.Errorf("nil is %s", k)
		}
	}
	if err := fault.Wrap(nil, "look"); err != nil {
		t.Errorf("wrapped nothing is %v", err)
	}
	if fault.HintOf(nil) != "" {
		t.Error("nothing has a hint")
	}
}

func TestText(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"operation and cause": {fault.New(fault.Transient, "select folder", io.EOF, "hint"), "select folder: EOF"},
		"operation alone":     {fault.New(fault.Transient, "select folder", nil, "hint"), "select folder"},
		"cause alone":         {fault.New(fault.Transient, "", io.EOF, "hint"), "EOF"},
		"formatted":           {fault.Newf(fault.Conflict, "message %d is gone", 7), "message 7 is gone"},
		"wrapped":             {fault.Wrap(fault.New(fault.Transient, "read", io.EOF, "hint"), "sync"), "sync: read: EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLost(t *testing.T) {
	lost := &fault.Error{Kind: fault.Transient, Op: "read messages", Lost: true}
	if !fault.Lost(fault.Wrap(lost, "look")) {
		t.Error("a wrapped loss is none")
	}
	if fault.Lost(fault.Newf(fault.Transient, "busy")) || fault.Lost(nil) {
		t.Error("an answer is a loss")
	}
}

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "",
		"Grüße, 日本":                            "Grüße, 日本",
		"a\r\nb\x00c\x1b[31m":                  "a  b c [31m",
		"turn\u202eround \u2066x\u0085y\u009b": "turn round  x y ",
	} {
		if got := fault.Plain(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestGuard(t *testing.T) {
	err := fault.Guard(func() error { panic("Subject: salary") })
	if !fault.Is(err, fault.Permanent) || strings.Contains(err.Error(), "salary") || fault.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if err := fault.Guard(func() error { return nil }); err != nil {
		t.Error(err)
	}
}
