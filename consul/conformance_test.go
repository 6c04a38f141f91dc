package consul_test

import (
	"testing"

	"gurney/consul/consultest"
)

func TestRealConsul(t *testing.T) {
	consultest.Suite(t, func(t *testing.T) string { return realConsul(t, "web-1", "") })
}
