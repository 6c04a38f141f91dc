package agent

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gurney/agent/state"
	"gurney/report"
)

// metrics are what /metrics shows, in the words of results.
type metrics struct {
	registry *prometheus.Registry
	runs     *prometheus.CounterVec
	seconds  *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	success  *prometheus.GaugeVec
	held     *prometheus.GaugeVec
	notGreen *prometheus.GaugeVec
	drained  *prometheus.GaugeVec
	outbox   prometheus.Gauge
	stale    prometheus.Counter
}

func newMetrics(version string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gurney_runs_total", Help: "Runs that ended, by app, state and the phase in which they ended.",
		}, []string{"app", "state", "phase"}),
		seconds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gurney_phase_seconds_total", Help: "Seconds that runs spent, by app and phase.",
		}, []string{"app", "phase"}),
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gurney_last_success_timestamp_seconds", Help: "Unix time of the last run that ended ok, by app.",
		}, []string{"app"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gurney_fetched_bytes_total", Help: "Bytes of archives that runs fetched, by app.",
		}, []string{"app"}),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gurney_held_since_timestamp_seconds", Help: "Unix time since which maintenance holds a deployment back, by app; absent while none is held.",
		}, []string{"app"}),
		notGreen: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gurney_not_green_since_timestamp_seconds", Help: "Unix time since which an app does not run well what it should; absent while it does.",
		}, []string{"app"}),
		drained: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gurney_drained_since_timestamp_seconds", Help: "Unix time since which the node is drained for an app's run; absent while it is not.",
		}, []string{"app"}),
		outbox: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gurney_outbox_letters", Help: "Results that Consul has not taken yet.",
		}),
		stale: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gurney_stale_reads_total", Help: "Reads of a record that were empty, or older than what the node knew already.",
		}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gurney_build_info", Help: "1; the label says which gurney this is.", ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	m.registry.MustRegister(m.runs, m.seconds, m.success, m.bytes, m.held, m.notGreen, m.drained, m.outbox, m.stale, info,
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	return m
}

// ended counts a run.
func (m *metrics) ended(app string, e state.Ending) {
	r := e.Result
	m.bytes.WithLabelValues(app).Add(float64(e.Bytes))
	m.runs.WithLabelValues(app, string(r.State), string(r.Phase)).Inc()
	for phase, s := range r.Seconds {
		m.seconds.WithLabelValues(app, string(phase)).Add(s)
	}
}

// stands shows how an app stands, as its journal has it: it is the same after
// the agent's restart.
func (m *metrics) stands(p *app) {
	var held, drained time.Time
	if w := p.Work; w != nil && w.State == report.Held {
		held = w.Since
	}
	if p.Drain != nil {
		drained = p.Drain.Since
	}
	since(m.success, p.name, p.Green)
	since(m.held, p.name, held)
	since(m.notGreen, p.name, p.NotGreen)
	since(m.drained, p.name, drained)
}

func since(g *prometheus.GaugeVec, app string, t time.Time) {
	if t.IsZero() {
		g.DeleteLabelValues(app)
		return
	}
	g.WithLabelValues(app).Set(float64(t.UnixMilli()) / 1000)
}
