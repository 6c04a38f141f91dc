package standin

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

func (c *run) converge() *exception {
	c.out.printf("Converging %d resources\n", len(c.list))
	c.wrapper.tell(0, len(c.list), true)
	recipe := ""
	for _, r := range c.list {
		if e := c.stopped(); e != nil {
			return e
		}
		if r.recipe != recipe {
			recipe = r.recipe
			c.out.printf("Recipe: %s\n", recipe)
		}
		changed := false
		for _, action := range r.actions() {
			changes, e := c.act(r, action)
			if e != nil {
				if e = c.blame(r, e); e != nil {
					return e
				}
				break
			}
			changed = changed || len(changes) > 0
		}
		if changed {
			c.updated++
		}
		c.done++
		c.wrapper.tell(c.done, len(c.list), c.done == len(c.list))
	}
	return c.stopped()
}

// blame names the resource in the exception. None is left of a failure that
// the recipe has Chef ignore.
func (c *run) blame(r *resource, e *exception) *exception {
	if e.class == "SystemExit" || e.class == "Errno::EPIPE" || exits[e.class] != 0 {
		return e
	}
	e = &exception{class: e.class, message: fmt.Sprintf("%s (%s) had an error: %v", r, r.where(), e)}
	if truth(r.props["ignore_failure"]) {
		c.out.log("ERROR", "%s; ignore_failure is set, continuing", e.message)
		return nil
	}
	c.out.block(fmt.Sprintf("Error executing action `%s` on resource '%s'", r.actions()[0], r), e.message)
	return e
}

// finish saves the node, has the handlers called and prints the summary.
func (c *run) finish(e *exception) *exception {
	if e == nil && !c.whyRun {
		if c.override {
			c.out.log("WARN", "Skipping final node save because override_runlist was given")
		} else {
			e = c.node.save(c.nodePath())
		}
	}
	completed := e == nil
	if completed && c.rebootAfter != nil {
		e = rebooting(c.rebootAfter)
	}
	took := time.Since(c.began)
	c.out.printf("\nRunning handlers:\n")
	if c.wrapper != nil {
		h := handled{Completed: completed, Success: e == nil, Elapsed: took.Seconds(), Updated: c.updated, Total: len(c.list), RunID: c.id, Roles: c.roles}
		if e != nil {
			h.Exception, h.Message = e.class, e.message
		}
		c.wrapper.write(h)
	}
	c.out.printf("Running handlers complete\n")
	c.out.summary(c.version, !completed, c.updated, len(c.list), took, c.whyRun)
	if e == nil {
		e = c.out.broken()
	}
	if e == nil {
		if c.major == 16 {
			c.out.log("WARN", "This release of %s became end of life (EOL) on Nov 30th 2022.", c.client())
		}
		return nil
	}
	if exits[e.class] == 0 {
		c.dump(e)
	}
	return e
}

// dump writes the stack trace's file, which holds no more than the exception.
func (c *run) dump(e *exception) {
	dir := c.beside("file_cache_path", filepath.Join("local-mode-cache", "cache"))
	path := filepath.Join(dir, "chef-stacktrace.out")
	if os.MkdirAll(dir, 0o755) == nil && os.WriteFile(path, []byte(e.Error()+"\n"), fs.FileMode(0o600)) == nil {
		c.out.log("FATAL", "Stacktrace dumped to %s", path)
	}
	c.out.log("FATAL", "Please provide the contents of the stacktrace.out file if you file a bug report")
}
