package artifact

// buffers are pieces of memory of one size that are used again and again. A
// sync.Pool gives them up at every collection, and what it then makes anew
// adds to what is not collected yet: up to 10 MB at a run's peak.
type buffers struct {
	size int64
	free chan []byte
}

// newBuffers keeps at most most of them; more than those are made where they
// are wanted, and dropped.
func newBuffers(size int64, most int) *buffers {
	return &buffers{size, make(chan []byte, most)}
}

func (b *buffers) get() []byte {
	select {
	case p := <-b.free:
		return p
	default:
		return make([]byte, b.size)
	}
}

// put takes back what get returned, or a part of it from its beginning on.
func (b *buffers) put(p []byte) {
	select {
	case b.free <- p[:b.size]:
	default:
	}
}
