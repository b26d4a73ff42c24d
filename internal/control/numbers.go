package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// maxListedFaults bounds a report on a file that is something else entirely.
const maxListedFaults = 20

// ReadNumbers reads one mailbox number a line. Blank lines are skipped, and so
// is everything from a "#" at the start of a line or after a blank. Every bad
// or repeated line is reported by its number, and then no number is returned.
func ReadNumbers(r io.Reader) ([]mailbox.Number, error) {
	const op = "read mailbox numbers"
	var numbers []mailbox.Number
	var faults []error
	first := map[mailbox.Number]int{}
	scanner := bufio.NewScanner(r)
	line := 0
	for scanner.Scan() {
		line++
		text := scanner.Text()
		if line == 1 {
			text = strings.TrimPrefix(text, "\uFEFF")
		}
		text = strings.TrimSpace(withoutComment(text))
		if text == "" {
			continue
		}
		n := mailbox.Number(text)
		if err := n.Validate(); err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", line, err))
			continue
		}
		if earlier, ok := first[n]; ok {
			faults = append(faults, fmt.Errorf("line %d: mailbox number %q stands on line %d already", line, text, earlier))
			continue
		}
		first[n] = line
		numbers = append(numbers, n)
	}
	switch err := scanner.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		faults = append(faults, fmt.Errorf("line %d: is longer than any mailbox number", line+1))
	case err != nil:
		return nil, fault.New(fault.Config, op, err, "")
	}
	if len(faults) == 0 && len(numbers) == 0 {
		faults = append(faults, errors.New("there is none in it"))
	}
	if extra := len(faults) - maxListedFaults; extra > 0 {
		faults = append(faults[:maxListedFaults], fmt.Errorf("and %d more", extra))
	}
	if err := malformed(op, faults); err != nil {
		return nil, err
	}
	return numbers, nil
}

func withoutComment(text string) string {
	for i, r := range text {
		if r == '#' && (i == 0 || text[i-1] == ' ' || text[i-1] == '\t') {
			return text[:i]
		}
	}
	return text
}

// checkNumbers reports every malformed or repeated number.
func checkNumbers(op string, numbers []mailbox.Number) error {
	var faults []error
	seen := map[mailbox.Number]bool{}
	for _, n := range numbers {
		if err := n.Validate(); err != nil {
			faults = append(faults, err)
		} else if seen[n] {
			faults = append(faults, fmt.Errorf("mailbox number %q is given twice", string(n)))
		}
		seen[n] = true
	}
	return malformed(op, faults)
}
