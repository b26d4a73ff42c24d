package faults

import (
	"bytes"
	"strings"
)

// Direction is one of the two ways through the proxy.
type Direction int

// The directions.
const (
	ToServer Direction = iota
	ToClient
)

// How says what happens to a connection when its fault fires.
type How int

// The ways to break.
const (
	RST   How = iota // reset on both sides, as by a crash; the server may lose what it has not read yet
	FIN              // closed in order on both sides
	Stall            // both sides stay open, nothing passes any more
	// LoseAnswer waits until the server has answered the command that fired
	// the fault, keeps that answer, and resets. It is the only way to be sure
	// that the server has done what was asked and the client does not know.
	// Nothing else reaches the server meanwhile. It needs a fault that fires
	// after a whole command.
	LoseAnswer
	// Hold breaks nothing: what follows in the direction waits for
	// Proxy.Release, and then goes on.
	Hold
)

// Fault breaks one connection at a certain point. Counting begins with Inject
// and runs over all connections together. Make one by the functions below.
type Fault struct {
	how     How
	at      point
	dir     Direction
	bytes   int64
	pattern []byte
	verb    string
	nth     int
	every   bool
}

type point int

const (
	atBytes point = iota
	atPattern
	inLiteral
	atLiteralEnd
	atCommandEnd
)

// AfterBytes fires when n bytes have passed in a direction.
func AfterBytes(dir Direction, n int64, how How) Fault {
	return Fault{how: how, at: atBytes, dir: dir, bytes: n}
}

// AfterPattern fires when the pattern has passed for the nth time.
func AfterPattern(dir Direction, pattern string, nth int, how How) Fault {
	return Fault{how: how, at: atPattern, dir: dir, pattern: []byte(pattern), nth: nth}
}

// MidAppend fires inside the nth appended message, after some bytes of it.
func MidAppend(nth int, bytes int64, how How) Fault {
	return Fault{how: how, at: inLiteral, nth: nth, bytes: bytes}
}

// AfterLiteral fires when the last byte of the nth appended message has passed
// and the CRLF that ends the command has not.
func AfterLiteral(nth int, how How) Fault { return Fault{how: how, at: atLiteralEnd, nth: nth} }

// AfterCommand fires when the nth command of a kind has passed whole, such as
// "APPEND" or "UID STORE". Nothing that the server sends after that reaches
// the client.
func AfterCommand(verb string, nth int, how How) Fault {
	return Fault{how: how, at: atCommandEnd, verb: strings.ToUpper(verb), nth: nth}
}

// Every makes a fault fire again and again, counting anew each time.
func (f Fault) Every() Fault {
	f.every = true
	return f
}

// armed is a fault that waits, with what it has counted.
type armed struct {
	Fault
	count int64
	fired chan struct{}
	times int
}

// fire notes that the fault fired and counts anew.
func (a *armed) fire() {
	a.times++
	a.count = 0
	if a.times == 1 {
		close(a.fired)
	}
}

func (a *armed) spent() bool { return a.times > 0 && !a.every }

// inBytes returns the position in b of length n after which the fault fires,
// or -1.
func (a *armed) inBytes(dir Direction, n int) int {
	if a.at != atBytes || a.dir != dir {
		return -1
	}
	before := a.count
	a.count += int64(n)
	if a.count < a.bytes {
		return -1
	}
	return int(a.bytes - before)
}

// inPattern does so for patterns. tail is what passed just before b.
func (a *armed) inPattern(dir Direction, tail, b []byte) int {
	if a.at != atPattern || a.dir != dir {
		return -1
	}
	keep := tail[max(0, len(tail)-len(a.pattern)+1):]
	all := append(bytes.Clone(keep), b...)
	for from := 0; ; {
		i := bytes.Index(all[from:], a.pattern)
		if i < 0 {
			return -1
		}
		from += i + len(a.pattern)
		if a.count++; a.count == int64(a.nth) {
			return from - len(keep)
		}
	}
}

// inStep does so for a step of the client's stream: n bytes of it that ended
// with what. message says that they are of a message to be appended, of which
// before bytes were through, or end the command of one.
func (a *armed) inStep(st stepInfo) int {
	last := a.count+1 == int64(a.nth)
	hit := -1
	switch {
	case a.at == inLiteral && st.message:
		if last && a.bytes > st.before && a.bytes <= st.before+int64(st.n) {
			hit = int(a.bytes - st.before)
		}
		if st.what == literalEnd {
			a.count++
		}
	case a.at == atLiteralEnd && st.message && st.what == literalEnd:
		a.count++
	case a.at == atCommandEnd && st.what == commandEnd && strings.HasPrefix(strings.ToUpper(st.command)+" ", a.verb+" "):
		a.count++
	default:
		return -1
	}
	if a.at != inLiteral && last {
		hit = st.n
	}
	return hit
}

// stepInfo describes one step of the client's stream.
type stepInfo struct {
	what         step
	n            int
	message      bool   // the step is of a message to be appended
	before       int64  // bytes of it that passed earlier
	tag, command string // at a command's end
}
