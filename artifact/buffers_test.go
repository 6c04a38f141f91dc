package artifact

import (
	"runtime"
	"strings"
	"testing"
)

func TestBuffersComeBack(t *testing.T) {
	b := newBuffers(8, 1)
	p, second := b.get(), b.get()
	b.put(p[:3])
	b.put(second) // one is kept
	if q := b.get(); &q[0] != &p[0] || len(q) != 8 {
		t.Errorf("%d bytes, not those that were given back", len(q))
	}
	if q := b.get(); &q[0] == &p[0] || &q[0] == &second[0] || len(q) != 8 {
		t.Error("two have the same memory")
	}
}

// TestMemoryDoesNotGrowWithTheArchive: a large archive goes through as many
// bytes of memory as a small one. Large and small files go different ways.
func TestMemoryDoesNotGrowWithTheArchive(t *testing.T) {
	taken := func(members ...member) int64 {
		archive := tarOf(t, members...)
		o := newOrigin(t, archive)
		f := webFetcher(t)
		stage := t.TempDir()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := f.Unpack(t.Context(), o.parsed("/x"), sumOf("sha256", archive), stage)
		runtime.ReadMemStats(&after)
		must(t, err)
		return int64(after.TotalAlloc - before.TotalAlloc) //nolint:gosec // some megabytes
	}
	var small []member
	for range 640 {
		small = append(small, file("small"+itoa(int64(len(small))), noise(smallFile)))
	}
	short := taken(small[:160]...)
	long := taken(append(small, file("large", strings.Repeat(noise(1<<20), 40)))...)
	if more := long - short; more > 8<<20 {
		t.Errorf("80 MiB took %d bytes of memory, %d more than 10 MiB did", long, more)
	}
}
