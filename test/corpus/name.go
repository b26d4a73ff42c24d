package corpus

// RecordedName is the name of a mailbox's subscriber as a recording: some seconds
// of audio, the same for a number each time.
func RecordedName(number string) []byte {
	const size = 4 << 10
	audio := make([]byte, size)
	r := randomFor(1, "name", number)
	for i := range audio {
		audio[i] = byte(r.UintN(256))
	}
	return append([]byte(wavHeader(size)), audio...)
}
