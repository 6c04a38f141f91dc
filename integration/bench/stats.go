package main

import "slices"

// sample is one measured thing, in the order of the pairs.
type sample []float64

func (s sample) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func (s sample) min() float64 { return slices.Min(s) }
func (s sample) max() float64 { return slices.Max(s) }

// over is s divided by d, pair by pair.
func (s sample) over(d sample) sample {
	out := make(sample, len(s))
	for i := range s {
		out[i] = s[i] / d[i]
	}
	return out
}
