package state_test

import (
	"reflect"
	"testing"

	"gurney/agent/state"
)

// Roles, and that it was ready, are the machine's: both stay when Consul lost its
// data, and neither a clone nor an image takes them for its own.
func TestWhatIsTheMachines(t *testing.T) {
	roles := state.Roles{"chef": {"base", "db"}}
	begin := func(machine, consul string) func(state.Dir) error {
		return func(d state.Dir) error { _, err := d.Begin(state.Life{Machine: machine, Consul: consul}); return err }
	}
	for name, c := range map[string]struct {
		then func(state.Dir) error
		want state.Roles
	}{
		"the same life":     {begin("m1", "c1"), roles},
		"Consul lost it":    {begin("m1", "c2"), roles},
		"a clone":           {begin("m2", "c2"), state.Roles{}},
		"an image is baked": {func(d state.Dir) error { _, err := d.Strip(); return err }, state.Roles{}},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			must(t, begin("m1", "c1")(d))
			must(t, d.SaveRoles(roles))
			must(t, d.TellReady())
			must(t, c.then(d))
			got, err := d.Roles()
			must(t, err)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v", got)
			}
			told, err := d.ToldReady()
			must(t, err)
			if stays := len(c.want) > 0; told != stays {
				t.Errorf("told %v", told)
			}
		})
	}
}

// Consul's data that was lost while a run goes on is no new life: the run is this
// machine's, and would begin once more.
func TestARunOutlivesConsulsData(t *testing.T) {
	d := open(t)
	begin := func(consul string) bool {
		t.Helper()
		reborn, err := d.Begin(state.Life{Machine: "m1", Consul: consul})
		must(t, err)
		return reborn
	}
	begin("c1")
	must(t, d.SaveJournal(&state.Journal{App: "chef", Born: 7, Work: &state.Work{ID: "a", Run: "chef@a@1"}}))
	lock, err := d.LockRun("chef a")
	must(t, err)
	if begin("c2") {
		t.Error("born in the middle of a run")
	}
	lock.Release()
	if begin("c2") {
		t.Error("born afterwards, though it is the same life")
	}
	if j, err := d.Journal("chef"); err != nil || j.Born != 7 {
		t.Errorf("%+v, %v", j, err)
	}
	if !begin("c3") {
		t.Error("not born without a run")
	}
	lock, err = d.LockRun("gurney apply")
	must(t, err)
	defer lock.Release()
	if !begin("c4") {
		t.Error("not born while somebody runs a manifest by hand")
	}
}
