package state

// Roles are what Chef last said this node is, by app: its expanded roles,
// sorted. They are told to Consul whatever became of the agent in between.
type Roles map[string][]string

// Roles reads them; none were kept where there is no file.
func (d Dir) Roles() (Roles, error) {
	r := Roles{}
	_, err := read(d.join("roles.json"), &r)
	return r, err
}

// SaveRoles writes them.
func (d Dir) SaveRoles(r Roles) error { return write(d.join("roles.json"), r) }
