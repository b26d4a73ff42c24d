package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"mailmirror/internal/fault"
	"mailmirror/internal/seal"
)

// choiceValue is a flag that takes one of a few words.
type choiceValue struct {
	field   *string
	allowed []string
}

func choice(field *string, allowed ...string) pflag.Value {
	return &choiceValue{field, allowed}
}

func (v *choiceValue) String() string { return *v.field }
func (v *choiceValue) Type() string   { return "word" }

func (v *choiceValue) Set(s string) error {
	if !slices.Contains(v.allowed, s) {
		return fmt.Errorf("want %s", strings.Join(v.allowed, ", "))
	}
	*v.field = s
	return nil
}

// give sets a field of what is to be changed if its flag was given, also if that was given
// as empty, which clears a setting.
func give[T any](cmd *cobra.Command, flag string, field **T, value T) {
	if cmd.Flags().Changed(flag) {
		*field = &value
	}
}

// needsFlag has a command fail with a message if none of its own flags is given.
func needsFlag(cmd *cobra.Command, message string) {
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		given := false
		cmd.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) { given = given || flag.Changed })
		if !given {
			return &usageError{cmd, errors.New(message)}
		}
		return nil
	}
}

// flagsGiven names the flags of a command that were given and need not be. It shows the
// value of a number or of one of a few words: any other may be a secret.
func flagsGiven(cmd *cobra.Command) string {
	var given []string
	cmd.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
		text := flag.Name
		switch value := flag.Value.String(); flag.Value.Type() {
		case "word", "int":
			text += " " + value
		case "bool":
			if value == "false" {
				text += " false"
			}
		}
		if _, required := flag.Annotations[cobra.BashCompOneRequiredFlag]; flag.Changed && !required {
			given = append(given, text)
		}
	})
	return strings.Join(given, ", ")
}

// longestPassword bounds what is read from a password file, so that a wrong
// path such as a disk image is noticed and not swallowed.
const longestPassword = 4096

// readPassword reads a password from a file, or from standard input where the
// file is "-"; from a terminal it is read without being shown. One newline at
// the end is not part of it.
func (c *cli) readPassword(path string) (seal.Secret, error) {
	const op = "read trusted password"
	content, err := c.passwordBytes(path)
	if err != nil {
		return seal.Secret{}, fault.New(fault.Config, op, err, "put the password alone into the file, or give - and write it to standard input")
	}
	content = bytes.TrimSuffix(bytes.TrimSuffix(content, []byte("\n")), []byte("\r"))
	var reason string
	switch {
	case len(content) == 0:
		reason = "there is none"
	case len(content) > longestPassword:
		reason = fmt.Sprintf("it is longer than %d bytes", longestPassword)
	case bytes.ContainsAny(content, "\r\n\x00"):
		reason = "it has more than one line"
	}
	if reason != "" {
		return seal.Secret{}, fault.New(fault.Config, op, errors.New(reason), "put the password alone into the file")
	}
	return seal.NewSecret(string(content)), nil
}

func (c *cli) passwordBytes(path string) ([]byte, error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, longestPassword+3))
	}
	if f, ok := c.env.Stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(c.env.Stderr, "Password of the trusted server: ")
		defer fmt.Fprintln(c.env.Stderr)
		return term.ReadPassword(int(f.Fd()))
	}
	return io.ReadAll(io.LimitReader(c.env.Stdin, longestPassword+3))
}

// absolute resolves a path that the worker, which runs elsewhere, will open.
func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(full); err != nil {
		return "", fault.New(fault.Config, "look at CA file", err, "name a PEM file with the certificates of the CA")
	}
	return full, nil
}

// limitFlag lets a command that lists something, newest first, show less or more of it.
func limitFlag(cmd *cobra.Command, limit *int, what string) {
	cmd.Flags().IntVar(limit, "limit", 50, "at most this `number` of "+what)
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if *limit < 1 {
			return &usageError{cmd, errors.New("--limit must be 1 or more")}
		}
		return nil
	}
}
