package copier

import (
	"bytes"
	"io"
)

// inspector notices, while a message streams by, the bytes that servers are
// known to alter: NUL, bare CR or LF, and 8-bit characters in the header.
type inspector struct {
	r     io.Reader
	last  byte // the byte before the next one; 0 at the start
	line  int  // bytes of the current header line so far, without its CR
	body  bool // past the header
	found bool
	err   error // of the reader, other than its end
}

// odd reports whether such bytes were seen; it is final once the message was
// read to its end.
func (i *inspector) odd() bool { return i.found || i.last == '\r' }

// Read implements io.Reader.
func (i *inspector) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	if err != nil && err != io.EOF {
		i.err = err
	}
	if n > 0 && !i.found {
		i.look(p[:n])
		i.last = p[n-1]
	}
	return n, err
}

func (i *inspector) look(p []byte) {
	if !i.body && i.header(p) {
		i.found = true
		return
	}
	if bytes.IndexByte(p, 0) >= 0 || bareEnd(i.last, p) {
		i.found = true
	}
}

// header scans as much of p as belongs to the header for 8-bit characters.
func (i *inspector) header(p []byte) bool {
	for _, b := range p {
		switch {
		case b >= 0x80:
			return true
		case b == '\n':
			if i.line == 0 {
				i.body = true
				return false
			}
			i.line = 0
		case b != '\r':
			i.line++
		}
	}
	return false
}

// bareEnd reports a CR without LF or a LF without CR in p, where last is the
// byte before p. A CR at the very end of p is judged with the next bytes.
func bareEnd(last byte, p []byte) bool {
	crs := bytes.Count(p, []byte{'\r'})
	if last == '\r' {
		crs++
	}
	if p[len(p)-1] == '\r' {
		crs--
	}
	pairs := 0
	for at := 0; ; {
		n := bytes.IndexByte(p[at:], '\n')
		if n < 0 {
			break
		}
		at += n
		before := last
		if at > 0 {
			before = p[at-1]
		}
		if before != '\r' {
			return true
		}
		pairs++
		at++
	}
	return crs != pairs
}
